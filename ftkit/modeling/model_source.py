"""Locate models: the embedded model, a local folder, a hub id, or the result of an earlier run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ftkit.errors import ModelError
from ftkit.modeling.config_limits import MAX_CONFIG_BYTES, check_sizes
from ftkit.modeling.embedded_model import EMBEDDED, embedded_folder
from ftkit.recipe import LOSSES, Quantization

__all__ = ["RECORD", "ModelSource", "Quantization", "did_you_mean", "find_source"]

RECORD = "ftkit.json"
"""Name of the run record in the folder of a model that ftkit made."""

_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The location of a model's files.

    Attributes:
        name: the name that the user gave.
        base: folder or hub id of the (base) model.
        adapter: folder of a PEFT adapter on top of it, if any.
        quantisation: quantisation of the base when the adapter was trained.
        base_name: the name of the base that a user would give.
        record: run record of a model that ftkit trained, see :mod:`ftkit.training.artifact`; else empty.
    """

    name: str
    base: str
    adapter: Path | None = None
    quantisation: Quantization | None = None
    base_name: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tokenizer(self) -> str:
        """Folder or hub id of the tokenizer: that of the adapter if it has one, else that of the base."""
        own = self.adapter is not None and any((self.adapter / name).is_file() for name in _TOKENIZERS)
        return str(self.adapter) if own else self.base

    @property
    def precision(self) -> Literal["bf16", "fp32"] | None:
        """Precision of the training, if ftkit trained the model."""
        return self.record.get("precision")

    @property
    def template_hash(self) -> str | None:
        """Hash of the chat template in training, if ftkit trained the model."""
        return self.record.get("template_hash")

    @property
    def scores(self) -> bool:
        """Whether it is a reward model that ftkit trained."""
        kind = self.record.get("recipe", {}).get("kind")
        recipe = LOSSES.find(kind) if isinstance(kind, str) else None
        return recipe is not None and recipe.score_head

    def config(self) -> dict[str, Any] | None:
        """Read the base's ``config.json``.

        Returns:
            The config; None if the base is a hub id.

        Raises:
            ModelError: the file cannot be read.
        """
        file = Path(self.base) / "config.json"
        if not file.is_file():
            return None
        config = _read(file)
        check_sizes(config, str(file))
        return config


def find_source(name: str) -> ModelSource:
    """Locate a model.

    Reads no weights and imports no heavy library. The folder of the embedded model may not exist yet:
    :func:`~ftkit.modeling.embedded_model.expand_embedded` creates it.

    Args:
        name: the embedded model, a folder (of transformers or of an ftkit run), or a hub id.

    Returns:
        The location.

    Raises:
        ModelError: the path contains no model, or the embedded model's weights are not installed.
    """
    if name == EMBEDDED:
        return ModelSource(name, str(embedded_folder()), base_name=name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _folder_source(name, folder.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        hint = did_you_mean(name)
        raise ModelError(f"no folder {name!r}; a local model is a folder with a config.json{hint}")
    return ModelSource(name, name, base_name=name)


def did_you_mean(name: str, known: Sequence[str] = ()) -> str:
    """Suggest names similar to one that does not exist.

    Args:
        name: the name or path.
        known: existing names; folders beside the path are suggested, too.

    Returns:
        The end of a sentence, ``; did you mean …?``; empty if nothing is similar.
    """
    folders = {Path(folder).name: folder for folder in _sibling_folders(name)}
    similar = [folders[match] for match in difflib.get_close_matches(Path(name).name, folders, n=2, cutoff=0.7)]
    similar += [match for match in difflib.get_close_matches(name, known, n=2, cutoff=0.7) if match not in similar]
    return f"; did you mean {' or '.join(similar)}?" if similar else ""


def _sibling_folders(path: str) -> list[str]:
    """The folders in the parent folder of ``path``, written like ``path``."""
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
        check_sizes(adapter, str(settings))
        base = base_name = adapter.get("base_model_name_or_path")
        if known.get("base_name"):
            base_name = known["base_name"]
            base = find_source(base_name).base
        if not base:
            raise ModelError(f"{settings}: base_model_name_or_path is empty, so the base model is not known")
        held = known.get("quantisation")
        return ModelSource(name, base, folder, Quantization(**held) if held else None, base_name or base, known)
    if (folder / "config.json").is_file():
        source = ModelSource(name, str(folder), base_name=name, record=known)
        source.config()  # raises now, before any library builds something of it
        return source
    raise ModelError(f"{folder} contains no model: neither config.json nor adapter_config.json")


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(f"{file} has {file.stat().st_size:,} bytes; a config has at most {MAX_CONFIG_BYTES:,}")
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file} contains no JSON object")
    return found
