"""An exponential moving average of the trained weights, evaluated and returned in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

__all__ = ["WeightAverage"]


class WeightAverage:
    """Averages the trained weights over the steps.

    After update t the average moves towards the weights by 1 - min(decay, (1 + t) / (10 + t)): the first updates weigh
    little, so that the initial weights do not stay in the average of a short run. (Polyak and Juditsky 1992; the
    warm-up as in TensorFlow's ``ExponentialMovingAverage``.)

    Args:
        parameters: the trainable tensors by name, as the run begins.
        decay: the share of the average that an update leaves, from 0 to 1.

    Attributes:
        averages: by the names of the parameters, each split among workers as its parameter is.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], decay: float) -> None:
        self._parameters = parameters
        self._decay = decay
        self.averages = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Move the average towards the present weights.

        Args:
            updates: optimiser updates so far, from 1.
        """
        share = 1 - min(self._decay, (1 + updates) / (10 + updates))
        for name, average in self.averages.items():
            average.lerp_(self._parameters[name].detach(), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Exchange the weights for their average inside a ``with`` block, which may not train.

        Yields:
            Nothing.
        """
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    @torch.no_grad()
    def exchange(self) -> None:
        """Make the weights the average, and the average the weights."""
        for name, average in self.averages.items():
            parameter = self._parameters[name]
            held = parameter.detach().clone()
            parameter.copy_(average)  # in place: shards of several workers are known by their memory
            average.copy_(held)
