"""The pool of loaded models that all :class:`ftkit.Model` and :class:`ftkit.Scorer` objects of a process share."""

from __future__ import annotations

import threading

from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.limits import MAX_BATCH_SIZE, PASS_TOKENS, STEP_TOKENS, loaded_model_limits
from ftkit.inference.model_pool import ModelPool
from ftkit.inference.pool_settings import PoolSettings

__all__ = ["shared_pool"]

_shared: ModelPool | None = None
_shared_lock = threading.Lock()


def shared_pool() -> ModelPool:
    """Return the pool of this process, which :class:`ftkit.Model` and :class:`ftkit.Scorer` use.

    Its limits are :func:`ftkit.inference.limits.loaded_model_limits`.

    Returns:
        The pool, made at the first call.
    """
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = ModelPool(_shared_settings)
        return _shared


def _shared_settings() -> PoolSettings:
    limits = loaded_model_limits()
    return PoolSettings(
        limits.max_bytes,
        free_share=0.5,
        max_models=limits.max_models,
        exceed_when_busy=True,
        share_bases=False,
        cache_share=1 / 3,
        prefix_share=1 / 4,
        counts_cache=False,
        batch=BatchSettings(rows=MAX_BATCH_SIZE, pass_tokens=PASS_TOKENS, step_tokens=STEP_TOKENS),
    )
