"""Weights between those that a run began with and those that it ended with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch

__all__ = ["WeightInterpolation"]

_HALVINGS = 6
"""Bisection steps: the share is found to 1/64."""


class WeightInterpolation:
    """Moves trained weights back towards the initial ones: initial + share · (trained − initial).

    With the share the harm usually falls faster than what was learnt of the task (WiSE-FT, Wortsman et al. 2022, arXiv
    2109.01903). Of a product of matrices, one of which begins at zero, only that one is moved: the update itself is
    then scaled by the share.

    Args:
        parameters: the trainable tensors by name, as the run begins.
        initial: copies of their values, as far as there are any.
        kept: parts of names whose tensors stay as trained, such as ``"lora_A"``.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        initial: Mapping[str, torch.Tensor],
        kept: Iterable[str] = (),
    ) -> None:
        left = set(kept)
        self._parameters = {name: each for name, each in parameters.items() if left.isdisjoint(name.split("."))}
        self._initial = {
            name: initial[name] if name in initial else parameter.detach().clone()
            for name, parameter in self._parameters.items()
        }

    @torch.no_grad()
    def move_back(self, within: Callable[[], bool]) -> float:
        """Take the largest share of the update that fulfils a condition.

        Args:
            within: whether the present weights fulfil it. The trained ones do not, and below the largest share that
                does, every share does.

        Returns:
            The share, which the weights now have; 0 if no share that was tried fulfils the condition.
        """
        trained = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        lower, upper = 0.0, 1.0
        for _ in range(_HALVINGS):
            share = (lower + upper) / 2
            self._set(trained, share)
            lower, upper = (share, upper) if within() else (lower, share)
        self._set(trained, lower)
        return lower

    def _set(self, trained: Mapping[str, torch.Tensor], share: float) -> None:
        for name, parameter in self._parameters.items():
            # In place: shards of several workers are known by their memory.
            parameter.copy_(torch.lerp(self._initial[name], trained[name], share))
