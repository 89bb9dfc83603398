"""Where models are: the embedded one, a local folder, a hub id, or what an earlier run produced."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ftkit.errors import ModelError
from ftkit.modeling.embedded_model import EMBEDDED, embedded_folder
from ftkit.recipe import LOSSES, Quantization

__all__ = ["RECORD", "ModelSource", "Quantization", "did_you_mean", "find_source"]

RECORD = "ftkit.json"
"""Name of the run record in the folder of a model that ftkit made."""

_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's files are.

    Attributes:
        name: as the user wrote it.
        base: folder or hub id of the (base) model.
        adapter: folder of a PEFT adapter on top of it, if any.
        quantisation: how the base was held when the adapter was trained.
        base_name: the base as the user would write it.
        record: what ftkit wrote beside the model when it made it, see :mod:`ftkit.training.artifact`; else empty.
    """

    name: str
    base: str
    adapter: Path | None = None
    quantisation: Quantization | None = None
    base_name: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tokenizer(self) -> str:
        """Folder or hub id of its tokenizer: beside the adapter where one is, else the base's."""
        own = self.adapter is not None and any((self.adapter / name).is_file() for name in _TOKENIZERS)
        return str(self.adapter) if own else self.base

    @property
    def precision(self) -> Literal["bf16", "fp32"] | None:
        """That of the training, when ftkit made the model."""
        return self.record.get("precision")

    @property
    def template_hash(self) -> str | None:
        """Of the chat template it was trained with, when ftkit made it."""
        return self.record.get("template_hash")

    @property
    def scores(self) -> bool:
        """Whether it is a reward model of ftkit's."""
        kind = self.record.get("recipe", {}).get("kind")
        recipe = LOSSES.find(kind) if isinstance(kind, str) else None
        return recipe is not None and recipe.score_head

    def config(self) -> dict[str, Any] | None:
        """The base's ``config.json``, where it is on this machine as a folder; of a hub id ``None``."""
        file = Path(self.base) / "config.json"
        return _read(file) if file.is_file() else None


def find_source(name: str) -> ModelSource:
    """Where the model ``name`` is: the embedded model, a folder (plain or one made by ftkit), else a hub id.

    Reads no weights and imports no heavy library, so it is quick. The embedded model's folder may not be there yet:
    :func:`~ftkit.modeling.embedded_model.expand_embedded` makes it.

    Raises:
        ModelError: a path that holds no model, or weights that are not installed.
    """
    if name == EMBEDDED:
        return ModelSource(name, str(embedded_folder()), base_name=name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _folder_source(name, folder.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        close = did_you_mean(name)
        raise ModelError(f"no folder {name!r}; a local model is a folder with a config.json{close}")
    return ModelSource(name, name, base_name=name)


def did_you_mean(name: str, known: Sequence[str] = ()) -> str:
    """Which of the ``known`` names, or of the folders beside it, was meant by ``name``, to be put at the end of a
    message; empty when none is near."""
    beside = {Path(one).name: one for one in _folders_beside(name)}
    near = [beside[one] for one in difflib.get_close_matches(Path(name).name, beside, n=2, cutoff=0.7)]
    near += [one for one in difflib.get_close_matches(name, known, n=2, cutoff=0.7) if one not in near]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _folders_beside(path: str) -> list[str]:
    """The folders that are where ``path`` would be, each written as ``path`` is."""
    written = path[: len(path) - len(Path(path).name)]
    try:
        found = [one for one in Path(path).expanduser().parent.iterdir() if one.is_dir()]
    except OSError:
        return []
    return [written + one.name for one in found if not one.name.startswith(".")]


def _folder_source(name: str, folder: Path) -> ModelSource:
    settings, record = folder / "adapter_config.json", folder / RECORD
    known = _read(record) if record.is_file() else {}
    if settings.is_file():
        adapter = _read(settings)
        base = base_name = adapter.get("base_model_name_or_path")
        if known.get("base_name"):
            base_name = known["base_name"]
            base = find_source(base_name).base
        if not base:
            raise ModelError(f"{settings}: base_model_name_or_path is empty, so the base model is not known")
        held = known.get("quantisation")
        return ModelSource(name, base, folder, Quantization(**held) if held else None, base_name or base, known)
    if (folder / "config.json").is_file():
        return ModelSource(name, str(folder), base_name=name, record=known)
    raise ModelError(f"{folder} holds no model: neither config.json nor adapter_config.json is there")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} holds no JSON object")
    return found
