"""Locate models: the embedded model, a local folder, a hub id, or the result of an earlier run."""

from __future__ import annotations

import difflib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ftkit.errors import ModelError
from ftkit.modeling.config_limits import MAX_CONFIG_BYTES, check_sizes
from ftkit.modeling.embedded_model import EMBEDDED, embedded_folder, expand_embedded, is_embedded
from ftkit.modeling.weight_pickles import check_pickle_archive
from ftkit.named_files import irregular_file_kind, read_small_text
from ftkit.recipe import LOSSES, ModelSize, Quantization

__all__ = [
    "RECORD",
    "ModelSource",
    "Quantization",
    "check_config",
    "did_you_mean",
    "find_source",
    "read_object",
    "read_record",
    "split_template",
    "with_template",
]

RECORD = "ftkit.json"
"""Name of the run record in the folder of a model that ftkit made."""

_TEMPLATE = "?chat_template="
_LARGEST_TEMPLATE = 1_000_000
"""Bytes."""
_READ = frozenset({".safetensors", ".json", ".jinja", ".model", ".bin", ".pt", ".txt", ".tiktoken"})
"""Endings of the files that libraries open to load a model."""
_PICKLES = (".bin", ".pt")
_LARGEST = {".jinja": _LARGEST_TEMPLATE, **dict.fromkeys((".json", ".txt", ".tiktoken", ".model"), 128_000_000)}
"""By ending: bytes of the largest file. A tokenizer of 256,000 tokens with its merges has 40 million."""
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
        template_file: file of the chat template that replaces the model's own.
    """

    name: str
    base: str
    adapter: Path | None = None
    quantisation: Quantization | None = None
    base_name: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    template_file: Path | None = None

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

    def read_template(self) -> str | None:
        """Read the chat template that replaces the model's own.

        Returns:
            The Jinja template; None if the model keeps its own.

        Raises:
            ModelError: the file cannot be read.
        """
        file = self.template_file
        if file is None:
            return None
        try:
            return read_small_text(file, limit=_LARGEST_TEMPLATE)
        except (OSError, ValueError) as error:
            raise ModelError(f"the chat template {file} cannot be read: {error}") from error

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
        return _config(file) if file.is_file() else None

    def size(self) -> ModelSize:
        """Read the base's size from its ``config.json``, which for a hub id must be in the hub's cache.

        Creates the folder of the embedded model if it does not exist.

        Returns:
            The size; empty if there is no such file.

        Raises:
            ModelError: the file cannot be read.
        """
        if is_embedded(self.base):
            expand_embedded()
        config = self.config()
        if config is None and not Path(self.base).exists() and importlib.util.find_spec("huggingface_hub"):
            from huggingface_hub import try_to_load_from_cache
            from huggingface_hub.errors import HFValidationError

            with suppress(HFValidationError):  # no name of a model
                cached = try_to_load_from_cache(self.base, "config.json")
                config = _config(Path(cached)) if isinstance(cached, str) else None
        return ModelSize.of(config)


def find_source(name: str) -> ModelSource:
    """Locate a model.

    Reads no weights and imports no heavy library. The folder of the embedded model may not exist yet:
    :func:`~ftkit.modeling.embedded_model.expand_embedded` creates it.

    Args:
        name: the embedded model, a folder (of transformers or of an ftkit run), or a hub id; with
            ``?chat_template=FILE`` at its end, the model with another chat template.

    Returns:
        The location.

    Raises:
        ModelError: the path contains no model, the embedded model's weights are not installed, or there is no file of
            the chat template.
    """
    plain, template = split_template(name)
    if template is not None:
        file = Path(template).expanduser()
        if not file.is_file():
            raise ModelError(f"there is no chat template {template!r}; give a file with a Jinja template")
        return replace(find_source(plain), name=name, template_file=file.resolve())
    if name == EMBEDDED:
        return ModelSource(name, str(embedded_folder()), base_name=name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _folder_source(name, folder.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        hint = did_you_mean(name)
        raise ModelError(f"no folder {name!r}; a local model is a folder with a config.json{hint}")
    return ModelSource(name, name, base_name=name)


def split_template(name: str) -> tuple[str, str | None]:
    """Split a model's name from the chat template that replaces the model's own.

    Args:
        name: as :func:`find_source` takes it.

    Returns:
        The name without the template, and the template's file; None if there is none.
    """
    plain, mark, template = name.partition(_TEMPLATE)
    return plain, template if mark else None


def with_template(name: str, template: str | os.PathLike[str] | None) -> str:
    """Name a model with another chat template.

    Args:
        name: as :func:`find_source` takes it.
        template: file of the Jinja template; None leaves the name as it is.

    Returns:
        The name, which is valid in any folder.
    """
    if template is None:
        return name
    return split_template(name)[0] + _TEMPLATE + str(Path(template).expanduser().absolute())


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
    _refuse_irregular(folder)
    settings, record = folder / "adapter_config.json", folder / RECORD
    known = read_record(record) if record.is_file() else {}
    if settings.is_file():
        adapter = read_object(settings)
        check_sizes(adapter, str(settings))
        base = base_name = adapter.get("base_model_name_or_path")
        if known.get("base_name"):
            base_name = known["base_name"]
            base = find_source(base_name).base if not _same(base_name, folder) else base_name
        if not base or not isinstance(base, str):
            raise ModelError(f"{settings}: base_model_name_or_path is empty, so the base model is not known")
        _check_base(base, settings)
        held = known.get("quantisation")
        return ModelSource(name, base, folder, Quantization(**held) if held else None, base_name or base, known)
    if (folder / "config.json").is_file():
        _config(folder / "config.json")
        return ModelSource(name, str(folder), base_name=name, record=known)
    if any(folder.glob("*.gguf")):
        raise ModelError(
            f"{folder} holds GGUF files, which ftkit does not load: llama.cpp and Ollama serve them. Name the model "
            "that was exported, or export it merged"
        )
    raise ModelError(f"{folder} contains no model: neither config.json nor adapter_config.json")


def _check_base(base: str, settings: Path) -> None:
    """Refuse a base that is an adapter itself, which would be left out, and one whose config is not usable."""
    folder = Path(base).expanduser()
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"{settings}: the base model {base} is an adapter itself; export that one merged, and name the result as "
            "the base"
        )
    if folder.is_dir():
        _refuse_irregular(folder)
    if (folder / "config.json").is_file():
        _config(folder / "config.json")


def _refuse_irregular(folder: Path) -> None:
    """Refuse a model with a pipe, a device or a text without an end in place of a file, which a library would read."""
    for file in sorted((*folder.iterdir(), *folder.glob("additional_chat_templates/*"))):
        if file.suffix not in _READ:
            continue
        try:
            kind, size = irregular_file_kind(file), file.stat().st_size
        except OSError as error:
            raise ModelError(f"{file} cannot be read: {error.strerror}; get the file again") from None
        if kind is not None:
            raise ModelError(f"{file} is {kind}, and not a file of a model")
        limit = _LARGEST.get(file.suffix)
        if limit is not None and size > limit:
            raise ModelError(f"{file} has {size:,} bytes; such a file of a model has at most {limit:,}")
        if file.suffix in _PICKLES:
            check_pickle_archive(file)


def _config(file: Path) -> dict[str, Any]:
    """Read a config; refuse one with sizes that no model has, or that fetches code."""
    config = read_object(file)
    check_config(config, str(file))
    return config


def check_config(config: Mapping[str, Any], place: str) -> None:
    """Refuse a config with sizes that no model has, parts that are no objects, or the name of code on the hub.

    Args:
        config: the parsed config.
        place: its file, for the message.

    Raises:
        ModelError: names the field.
    """
    check_sizes(config, place)
    for name, value in config.items():
        if isinstance(value, str) and name.endswith("_implementation") and "/" in value:
            raise ModelError(f"{place}: {name} is {value!r}, which is code on the hub; ftkit does not run it")


def _same(name: str, folder: Path) -> bool:
    return Path(name).expanduser().resolve() == folder


class _Record(BaseModel):
    """The entries of ``ftkit.json`` that loading a model depends on."""

    model_config = ConfigDict(strict=True)

    base_name: str | None = None
    trained_from: str | None = None
    run_id: str | None = None
    precision: Literal["bf16", "fp32"] | None = None
    template_hash: str | None = None
    recipe: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    quantisation: _Quantised | None = None
    files: dict[str, str] | None = None


class _Quantised(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    quant_type: Literal["nf4", "fp4"]
    double_quant: bool


def read_record(file: Path) -> dict[str, Any]:
    """Read the run record of a model that ftkit made.

    Args:
        file: its ``ftkit.json``.

    Returns:
        The record. The entries that loading depends on have the right types.

    Raises:
        ModelError: the file cannot be read, or an entry has another type.
    """
    known = read_object(file)
    try:
        _Record.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ModelError(
            f"{file} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}. Get the file again, or, if the "
            "model is still of use without its record, remove the file"
        ) from error
    return {key: value for key, value in known.items() if not (key == "recipe" and value is None)}


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object from a settings file.

    Args:
        file: the file.

    Returns:
        The object.

    Raises:
        ModelError: the file is missing, too large, or no JSON object.
    """
    try:
        if not file.is_file():
            raise ModelError(f"{file} is missing")
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(f"{file} has {file.stat().st_size:,} bytes; a config has at most {MAX_CONFIG_BYTES:,}")
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}; it is damaged or cut off, so get it again") from error
    except RecursionError:
        raise ModelError(f"{file} cannot be read: its JSON is nested too deeply") from None
    if not isinstance(found, dict):
        raise ModelError(f"{file} contains no JSON object")
    return found
