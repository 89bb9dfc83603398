"""ftkit's own engine, as the registry of engines holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.limits import DEFAULT_BATCH, ServingLimits
from ftkit.inference.pool_settings import PoolSettings

if TYPE_CHECKING:
    from ftkit.backends.local.answerer import LocalAnswerer
    from ftkit.inference.leases import LeasePool

__all__ = ["TorchModels"]


class TorchModels:
    """Models that this process loads with transformers, and asks by continuous batching."""

    def answerer(self, model: str) -> LocalAnswerer:
        """Return what answers with a model; see :meth:`ftkit.backends.engines.Engine.answerer`.

        Args:
            model: as :func:`ftkit.modeling.model_source.find_source` takes it.

        Returns:
            The model.
        """
        from ftkit.backends.local.answerer import LocalAnswerer

        return LocalAnswerer(model)

    def serving_pool(self, limits: ServingLimits) -> Callable[[], LeasePool]:
        """Return what makes a server's pool; see :meth:`ftkit.backends.engines.Engine.serving_pool`.

        Args:
            limits: what the server may take.

        Returns:
            A function that makes the pool.
        """

        def make() -> LeasePool:
            from ftkit.inference.model_pool import ModelPool

            batch = BatchSettings(rows=limits.batch or DEFAULT_BATCH, keep_answers=True)
            return ModelPool(PoolSettings(limits.memory_bytes, cache_bytes=limits.cache_bytes, batch=batch))

        return make
