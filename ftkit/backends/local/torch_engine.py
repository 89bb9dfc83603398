"""ftkit's own engine, as the registry of engines holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftkit.backends.local.answerer import LocalAnswerer

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
