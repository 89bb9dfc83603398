"""Find a model on disk: its source, its size, and the identity of its files.

A model whose files were replaced has another identity, by which :class:`~ftkit.inference.model_pool.ModelPool` notices.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ftkit.errors import ModelError
from ftkit.inference.multi_lora import supports_multi_lora
from ftkit.modeling.device import default_device
from ftkit.modeling.embedded_model import expand_embedded, is_embedded
from ftkit.modeling.load_for_inference import own_precision
from ftkit.modeling.memory_footprint import adapter_bytes, weight_bytes
from ftkit.modeling.model_source import ModelSource, find_source

__all__ = ["FoundModel", "Identity", "find_model"]

_MODEL_FILES = (
    "*.safetensors", "*.bin", "*.gguf", "*.jinja", "*.model", "config.json", "*_config.json", "*.index.json",
    "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "ftkit.json",
)  # fmt: skip

Identity = tuple[tuple[str, int, int, int], ...]
"""Name, time of change in ns, size and inode of each file of a model."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model as it was found on disk.

    Attributes:
        name: the name that it was asked for by.
        source: where its files are.
        scores: whether it is wanted as a reward model.
        key: what its weights in memory are shared by.
        adapter: folder of the adapter that is loaded beside a shared base; None for a model with weights of its own.
        identity: identity of the files of its weights.
        adapter_identity: identity of the files of ``adapter``.
        size: bytes of its weights in memory.
        adapter_size: bytes of ``adapter`` in memory.
    """

    name: str
    source: ModelSource
    scores: bool
    key: tuple[Any, ...]
    adapter: Path | None
    identity: Identity
    adapter_identity: Identity
    size: int
    adapter_size: int


_sizes: dict[tuple[Any, ...], int] = {}


def find_model(name: str, *, scores: bool, share_bases: bool) -> FoundModel:
    """Find a model on disk. Reads its settings and no weights; expands the embedded model.

    Args:
        name: as :func:`~ftkit.modeling.model_source.find_source` takes it.
        scores: a reward model is wanted.
        share_bases: whether LoRA adapters are loaded beside a shared base.

    Returns:
        The model.

    Raises:
        ModelError: there is no such model, or it is of the other kind.
    """
    source = find_source(name)
    if source.scores and not scores:
        raise ModelError(f"{source.name!r} is a reward model: it scores answers and writes none; use ft.Scorer")
    if is_embedded(source.base):
        expand_embedded()
    shared = not scores and share_bases and supports_multi_lora(source)
    base = Path(source.base)
    weights = (
        scores,
        str(base.resolve()) if base.is_dir() else source.base,
        source.quantisation,
        own_precision(source, default_device()),
        source.template_file,
    )
    adapter = source.adapter if shared else None
    merged = None if shared else source.adapter
    key = weights if merged is None else (*weights, merged)
    identity = _files_identity(base) if merged is None else _files_identity(base) + _files_identity(merged)
    if source.template_file is not None:
        identity += _files_identity(source.template_file.parent, source.template_file.name)
    size = _sizes.get((key, identity))
    if size is None:
        size = _sizes[key, identity] = weight_bytes(source)
    return FoundModel(
        name,
        source,
        scores,
        key,
        adapter,
        identity,
        () if adapter is None else _files_identity(adapter),
        size,
        0 if adapter is None else adapter_bytes(adapter),
    )


def _files_identity(folder: Path, *names: str) -> Identity:
    """Say which files a model folder holds, or these files of it; empty for a hub id."""
    try:
        entries = [*os.scandir(folder)]
    except OSError:
        return ()
    found = []
    for entry in entries:
        if entry.name in names or (not names and any(fnmatch(entry.name, pattern) for pattern in _MODEL_FILES)):
            stat = os.stat(entry.path)  # not entry.stat(), which need not follow a link anew
            found.append((entry.name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(sorted(found))
