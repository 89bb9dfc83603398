"""Write the files of an export: weights, tokenizer, Modelfile, record and model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftkit.exporting.export_result import Base, Dtype, Export, Form
from ftkit.exporting.model_card import card
from ftkit.exporting.model_origin import Origin
from ftkit.exporting.modelfile import modelfile
from ftkit.exporting.ollama import context_for
from ftkit.modeling.artefact_digests import file_digests
from ftkit.modeling.model_source import RECORD

if TYPE_CHECKING:
    from ftkit.inference.exported_model import Exported
    from ftkit.inference.replay import Recording

__all__ = ["Plan", "build", "load", "write_record"]

MODELFILE = "Modelfile"
"""Name of Ollama's file in the folder."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write; see :func:`ftkit.export` for the fields."""

    origin: Origin
    form: Form
    dtype: Dtype
    base: Base | None


def build(plan: Plan, folder: Path, recording: Recording, settings: Settings) -> None:
    """Write everything except ``ftkit.json`` and the model card, which describe the replay.

    Args:
        plan: what to write.
        folder: where to write.
        recording: answers of the served model, with its stop tokens.
        settings: the tokenizer and what else goes beside the weights.
    """
    from ftkit.modeling.merge import merge_adapter, save_merged, save_tokenizer_and_generation_config

    source = plan.origin.source
    if plan.form == "adapter":
        assert source.adapter is not None  # noqa: S101  (export has refused others)
        for file in (source.adapter / "adapter_config.json", *sorted(source.adapter.glob("adapter_model.*"))):
            shutil.copyfile(file, folder / file.name)
    else:
        save_merged(merge_adapter(source, base=plan.base or "quantised", dtype=plan.dtype), folder)
    save_tokenizer_and_generation_config(folder, settings.tokenizer, settings.generation_config, recording.stop_ids)
    if settings.template is not None:
        longest = max(len(p) + len(a) for p, a in zip(recording.prompts, recording.answers, strict=True))
        stops = [str(settings.tokenizer.decode([stop])) for stop in recording.stop_ids]
        text = modelfile(settings.template, stops, context_for(longest, settings.max_length))
        (folder / MODELFILE).write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Settings:
    """The files beside the weights.

    Attributes:
        tokenizer: the served model's, with its chat template.
        generation_config: the base model's.
        max_length: the model's context length in tokens, or None.
        template: the Go template, for Ollama.
    """

    tokenizer: Any
    generation_config: Any
    max_length: int | None
    template: str | None


def load(plan: Plan, folder: Path) -> Exported:
    """Load an exported folder as other tools would.

    Args:
        plan: what was written.
        folder: the exported folder.

    Returns:
        The loaded model.

    Raises:
        ExportError: the folder cannot be loaded.
    """
    from ftkit.inference.exported_model import load_adapter, load_whole

    if plan.form != "adapter":
        return load_whole(folder)
    source = plan.origin.source
    quantisation = source.quantisation if plan.base == "quantised" else None
    return load_adapter(folder, base=source.base, quantisation=quantisation, dtype=plan.dtype)


def write_record(plan: Plan, folder: Path, export: Export, template_hash: str) -> None:
    """Write ``ftkit.json`` and the model card.

    Args:
        plan: what was written.
        folder: the exported folder.
        export: the result of the export.
        template_hash: hash of the chat template.
    """
    from ftkit.training.artifact import versions

    record: dict[str, Any] = {**plan.origin.record, "template_hash": template_hash, "files": file_digests(folder)}
    if plan.form != "adapter":
        # A whole model has no base. Weights in fp16 are loaded in fp32, which represents them exactly.
        record |= {"base_name": None, "quantisation": None, "precision": "bf16" if plan.dtype == "bf16" else "fp32"}
    elif plan.base == "original":
        record |= {"quantisation": None}
    shown = export.model_dump(mode="json", exclude={"folder"})
    record["export"] = {**shown, "versions": versions()}
    _write(folder / RECORD, record)
    (folder / "README.md").write_text(card(export, record, plan.origin.base_name), encoding="utf-8")


def _write(file: Path, record: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
