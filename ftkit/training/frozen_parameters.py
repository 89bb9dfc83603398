"""Whether everything that should learn does: a tensor that never changes is a mistake that no loss curve shows."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ftkit.errors import TrainingError

__all__ = ["LOOKED_AT", "Liveness"]

LOOKED_AT = 2
"""Steps after which every tensor must have changed. Not one: LoRA's B begins at zero, so A has no gradient, and cannot
move, before B has moved."""


class Liveness:
    """Watches the first steps. Of each tensor it looks at the element with the largest gradient, which moves if any
    does.

    Args:
        parameters: what is trained, by name.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        self._parameters = parameters
        self._still = dict.fromkeys(parameters)
        self._before: dict[str, tuple[int, torch.Tensor]] = {}

    def before(self, step: int) -> None:
        """To be called with the gradients there, before the optimiser's step."""
        if step > LOOKED_AT:
            return
        self._before = {}
        for name in self._still:
            parameter = self._parameters[name]
            if parameter.grad is not None:
                at = int(parameter.grad.abs().argmax())
                self._before[name] = at, parameter.detach().view(-1)[at].clone()

    def after(self, step: int) -> None:
        """To be called after the optimiser's step.

        Raises:
            TrainingError: a tensor has not changed by step :data:`LOOKED_AT`.
        """
        if step > LOOKED_AT:
            return
        for name, (at, value) in self._before.items():
            if not torch.equal(self._parameters[name].detach().view(-1)[at], value):
                self._still.pop(name, None)
        if step == LOOKED_AT and self._still:
            names = list(self._still)
            more = "…" if len(names) > 3 else ""
            raise TrainingError(
                f"{len(names)} of {len(self._parameters)} trainable tensors have not changed after {step} steps, so "
                f"they never would: {', '.join(names[:3])}{more}"
            )
