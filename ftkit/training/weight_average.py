"""An exponential moving average of the trained weights, evaluated and returned in the place of the last ones."""

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
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], decay: float) -> None:
        self._parameters = parameters
        self._decay = decay
        self._averages = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Move the average towards the present weights.

        Args:
            updates: optimiser updates so far, from 1.
        """
        share = 1 - min(self._decay, (1 + updates) / (10 + updates))
        for name, average in self._averages.items():
            average.lerp_(self._parameters[name].detach(), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Exchange the weights for their average inside a ``with`` block, which may not train.

        Yields:
            Nothing.
        """
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint must hold.

        Returns:
            Averages by the names of the parameters.
        """
        return dict(self._averages)

    @torch.no_grad()
    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what :meth:`state` returned.

        Args:
            state: from a checkpoint.
        """
        for name, average in self._averages.items():
            average.copy_(state[name])

    def _exchange(self) -> None:
        for name, average in self._averages.items():
            parameter = self._parameters[name]
            parameter.data, self._averages[name] = average, parameter.data
