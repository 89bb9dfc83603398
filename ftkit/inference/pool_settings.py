"""What a pool of loaded models may take, and how it loads them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ftkit.inference.batch_settings import BatchSettings

__all__ = ["PoolSettings"]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What a pool may take, and how it loads models.

    Attributes:
        memory_bytes: memory of all models; None takes ``free_share`` of what is free when the first one is loaded.
        free_share: see ``memory_bytes``.
        max_models: number of base models; None for any number.
        exceed_when_busy: load a model although all others are in use and there is no room. Otherwise it waits, and a
            model that is larger than ``memory_bytes`` is refused.
        share_bases: load LoRA adapters beside one base model, which saves memory. Otherwise each adapter is merged into
            a base of its own where that changes nothing, which is faster.
        cache_bytes: memory for keys and values of the running answers of a model; None takes ``cache_share`` of the
            memory.
        cache_share: see ``cache_bytes``.
        prefix_share: memory of a model's prefix cache, as a multiple of ``cache_bytes``.
        counts_cache: whether ``cache_bytes`` counts as taken although nothing is running.
        batch: size of the batches; its cache sizes are ignored.
    """

    memory_bytes: int | None = None
    free_share: float = 0.75
    max_models: int | None = None
    exceed_when_busy: bool = False
    share_bases: bool = True
    cache_bytes: int | None = None
    cache_share: float = 1 / 16
    prefix_share: float = 1.0
    counts_cache: bool = True
    batch: BatchSettings = field(default_factory=BatchSettings)
