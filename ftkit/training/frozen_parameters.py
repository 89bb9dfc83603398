"""Check that everything that should learn does: a tensor that never changes is a mistake that no loss curve shows."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ftkit.errors import TrainingError
from ftkit.training.worker_group import ALONE, WorkerGroup, local_part

__all__ = ["CHECKED_STEP", "FrozenParameterCheck"]

CHECKED_STEP = 2
"""Updates after which every tensor must have changed. Not one: LoRA's B starts at zero, so A has no gradient, and
cannot change, before B has changed."""


class FrozenParameterCheck:
    """Watches the first updates.

    Of each tensor it checks the element with the largest gradient, which changes if any does.

    Args:
        parameters: the trainable tensors by name.
        workers: those that train together. Where each holds a part of the tensors, one of the parts must change.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], workers: WorkerGroup = ALONE) -> None:
        self._workers = workers
        self._parameters = parameters
        self._unchanged = dict.fromkeys(parameters)
        self._before: dict[str, tuple[int, torch.Tensor]] = {}

    def before_update(self, update: int) -> None:
        """Remember values; call it with the gradients there, before the optimiser's step.

        Args:
            update: the number of the update, from 1.
        """
        if update > CHECKED_STEP:
            return
        self._before = {}
        for name in self._unchanged:
            parameter = self._parameters[name]
            if parameter.grad is not None and local_part(parameter).numel():
                index = int(local_part(parameter.grad).abs().argmax())
                self._before[name] = index, local_part(parameter).view(-1)[index].clone()

    def after_update(self, update: int) -> None:
        """Compare values; call it after the optimiser's step.

        Args:
            update: the number of the update, from 1.

        Raises:
            TrainingError: a tensor has not changed by update :data:`CHECKED_STEP`.
        """
        if update > CHECKED_STEP:
            return
        for name, (index, value) in self._before.items():
            if not torch.equal(local_part(self._parameters[name]).view(-1)[index], value):
                self._unchanged.pop(name, None)
        if update != CHECKED_STEP:
            return
        parts = self._workers.gather(list(self._unchanged))
        names = [name for name in parts[0] if all(name in part for part in parts)]
        if names:
            more = "…" if len(names) > 3 else ""
            raise TrainingError(
                f"{len(names)} of {len(self._parameters)} trainable tensors have not changed after {update} steps, so "
                f"they never would: {', '.join(names[:3])}{more}"
            )
