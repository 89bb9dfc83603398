"""Limits of the sizes in a model's config, checked before anything is built from them.

transformers makes lists and modules of as many layers as a config names. A config of ten million layers would take
minutes and all memory before its weights were found missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftkit.errors import ModelError

__all__ = ["MAX_CONFIG_BYTES", "check_sizes"]

MAX_CONFIG_BYTES = 16_000_000
"""Largest config.json in bytes."""

_MAX_DEPTH = 8
_LIMITS = (
    (10_000, ("layers", "layer", "blocks", "depth", "stages", "codebooks", "streams")),
    (100_000, ("experts", "heads", "head", "r", "rank", "groups", "group", "kernel", "conv", "buckets", "labels")),
    (10_000_000, ("size", "dim", "model", "embd", "inner", "channels")),
    (1_000_000_000, ("positions", "ctx")),
)
"""Largest number by the last word of its name, with a wide margin above every known model."""


def check_sizes(config: Mapping[str, Any], place: str, *, depth: int = 0) -> None:
    """Refuse a config with sizes that no model has, or with parts that are no objects.

    Args:
        config: the parsed config.
        place: its file, for the message.
        depth: how deep it lies inside another config.

    Raises:
        ModelError: names the field.
    """
    for name, value in config.items():
        if str(name).endswith("_config") and value is not None and not isinstance(value, Mapping):
            raise ModelError(f"{place}: {name} is {value!r:.40}, and not an object")
        if isinstance(value, Mapping) and name == "rank_pattern":  # of an adapter: ranks by module
            for module, rank in value.items():
                check_sizes({"rank": rank}, f"{place}: rank_pattern of {module}", depth=depth + 1)
        elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
            check_sizes(value, place, depth=depth + 1)
        elif isinstance(value, list) and len(value) > _LIMITS[0][0] and name.endswith(("types", "layers", "pattern")):
            raise ModelError(f"{place}: {name} has {len(value):,} entries, more than any model has layers")
        elif isinstance(value, int) and not isinstance(value, bool):
            _check_size(name, value, place)


def _check_size(name: str, value: int, place: str) -> None:
    last = str(name).rpartition("_")[2]
    limit = next((limit for limit, words in _LIMITS if last in words), None)
    if limit is not None and value > limit:
        raise ModelError(f"{place}: {name} is {value:,}, more than any model has (ftkit's limit is {limit:,})")
