"""The result of a training run: a PEFT folder (or a whole model) that other tools load, with its provenance."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftkit.errors import TrainingError
from ftkit.files import folder_aside, replace_folder
from ftkit.modeling.artefact_digests import file_digests
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.model_source import RECORD, split_template
from ftkit.modeling.pretrained import Pretrained
from ftkit.recipe import Recipe
from ftkit.training.adapters.adapted_model import AdaptedModel
from ftkit.training.checkpoint import NOT_WRITTEN, why_not_written

__all__ = ["EpochModels", "save_artefact", "versions"]

_PACKAGES = ("ftkit", "torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers", "numpy")


def save_artefact(
    folder: Path,
    pretrained: Pretrained,
    adapted: AdaptedModel,
    recipe: Recipe,
    record: dict[str, Any],
    state: dict[str, Any] | None = None,
) -> None:
    """Write the result of a run; the folder is complete or not there.

    It holds ``adapter_model.safetensors`` and ``adapter_config.json`` (PEFT's layout) or ``model.safetensors``, the
    tokenizer with its chat template, the generation config, ``ftkit.json`` and a model card.

    Args:
        folder: where to write; replaced if it exists.
        pretrained: the model with its tokenizer.
        adapted: the same model with its trainable part.
        recipe: resolved.
        record: more entries of ``ftkit.json``.
        state: the model's tensors by name, where several workers hold parts of them.

    Raises:
        TrainingError: the disk does not take it.
    """
    try:
        with folder_aside(folder) as aside:
            _write(aside, pretrained, adapted, recipe, record, state)
            replace_folder(aside, folder)
    except NOT_WRITTEN as error:
        raise TrainingError(
            f"could not save the model to {folder}: {why_not_written(error, folder.parent)}. Once there is room, the "
            "run can be resumed"
        ) from error


def _write(
    aside: Path,
    pretrained: Pretrained,
    adapted: AdaptedModel,
    recipe: Recipe,
    record: dict[str, Any],
    state: dict[str, Any] | None,
) -> None:
    with quiet():  # PEFT warns of layers to which AdaLoRA gave no rank
        adapted.model.save_pretrained(aside, **({} if state is None else {"state_dict": state}))
    _sort_layers(aside / "adapter_config.json")
    pretrained.tokenizer.save_pretrained(aside)
    if pretrained.model.can_generate():
        pretrained.model.generation_config.save_pretrained(aside)
    quantisation = recipe.adapter.quantization
    whole: dict[str, Any] = {
        **record,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "base_name": None if recipe.adapter.trains_base_weights else pretrained.source.base_name,
        "trained_from": split_template(pretrained.source.name)[0],
        "recipe": recipe.model_dump(mode="json"),
        "recipe_fingerprint": recipe.fingerprint,
        "precision": pretrained.precision,
        "quantisation": None
        if quantisation is None
        else {"quant_type": quantisation.quant_type, "double_quant": quantisation.double_quant},
        "template_hash": pretrained.chat_template.template_hash,
        "template_day": None if (day := pretrained.chat_template.day) is None else day.isoformat(),
        "files": file_digests(aside),
        "versions": versions(),
    }
    (aside / RECORD).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (aside / "README.md").write_text(_card(whole, recipe), encoding="utf-8")
    os.chmod(aside, 0o755)  # mkdtemp makes it private  # noqa: S103


def _sort_layers(file: Path) -> None:
    """Sort lists of names, which PEFT holds as sets and writes in another order in each process."""
    if not file.is_file():
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    for name in ("target_modules", "exclude_modules", "target_parameters", "modules_to_save"):
        if isinstance(config.get(name), list):
            config[name] = sorted(config[name])
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class EpochModels:
    """Models of the last epochs of a run, each in a folder ``step-000120``.

    Args:
        folder: where they are.
        limit: how many of the newest are kept; 0 keeps none.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    def save(self, step: int, write: Callable[[Path], None]) -> bool:
        """Save the model of an epoch's end, then remove the oldest ones.

        Args:
            step: optimiser steps done.
            write: writes the model to a folder.

        Returns:
            Whether it was saved.

        Raises:
            TrainingError: it could not be written.
        """
        if not self.limit:
            return False
        write(self.folder / f"step-{step:06d}")
        for old in sorted(self.folder.glob("step-*"))[: -self.limit]:
            shutil.rmtree(old, ignore_errors=True)
        return True


def versions() -> dict[str, str]:
    """List the versions of Python and of the packages that determine a run's numbers.

    Returns:
        Versions by package; packages that are not installed are left out.
    """
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _card(record: dict[str, Any], recipe: Recipe) -> str:
    """A model card in the hub's form: a YAML header, then how to use the model."""
    full = recipe.adapter.trains_base_weights
    summary = record.get("summary", {})
    lines = [
        "---",
        f"base_model: {record['trained_from']}",
        f"library_name: {'transformers' if full else 'peft'}",
        "tags:",
        "- ftkit",
        f"- {recipe.adapter.kind}",
        "---",
        "",
        f"# {record.get('run_id', 'Tuned model')}",
        "",
        f"`{record['trained_from']}` fine-tuned with ftkit ({recipe.kind}, {recipe.adapter.kind}) "
        f"on {record.get('rows', '?')} rows.",
        "",
        f"- task: `{record.get('task_fingerprint', '?')}`",
        f"- data: `{record.get('data_fingerprint', '?')}`",
        f"- recipe: `{record['recipe_fingerprint']}`",
        f"- chat template: `{record['template_hash']}`",
        f"- steps: {summary.get('steps', '?')}, training loss at the end: "
        f"{summary.get('train_loss', float('nan')):.4f}",
        "",
        "The prompt must be rendered with the chat template in this folder. `ftkit.json` has the recipe with all "
        "values, seeds and versions.",
        "",
        "```python",
        "import ftkit as ft",
        f'model = ft.Model("local:{record.get("run_id", "<this folder>")}")',
        "```",
        "",
    ]
    return "\n".join(lines)
