"""A model with its trainable part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["AdaptedModel"]


@dataclass(slots=True)
class AdaptedModel:
    """A model with its trainable part.

    Attributes:
        model: the PEFT model, or the plain one when every weight is trained.
        base_model: the transformers model inside it, whose layers hold the adapters.
        parameters: trainable tensors by name.
        tuner: the :class:`~ftkit.training.adapters.base.AdapterTuner`, which does what the kind of adapter needs around
            each step.
    """

    model: Any
    base_model: Any
    parameters: dict[str, torch.nn.Parameter]
    tuner: Any

    def set_dropout(self, *, enabled: bool) -> None:
        """Switch the adapter's dropout on or off.

        The model itself stays in training mode: in evaluation mode bitsandbytes (0.50, ``Linear4bit.forward``) repacks
        4-bit weights, on CPUs with AVX-512 BF16, into a form that no gradient passes, and never unpacks them.

        Args:
            enabled: True while training.
        """
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.train(enabled)

    @contextmanager
    def without_dropout(self) -> Iterator[None]:
        """Switch the adapter's dropout off inside a ``with`` block, to compute a loss or log-probabilities.

        Yields:
            Nothing.
        """
        self.set_dropout(enabled=False)
        try:
            yield
        finally:
            self.set_dropout(enabled=True)

    @torch.no_grad()
    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Replace the values of the trainable parameters.

        Args:
            tensors: by the names in :attr:`parameters`.
        """
        for name, parameter in self.parameters.items():
            parameter.copy_(tensors[name])
