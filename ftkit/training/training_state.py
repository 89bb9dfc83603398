"""How far a run has come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Progress", "Stopped"]


class Stopped(Exception):  # noqa: N818  (a request that was honoured, not an error)
    """Training ended early because it was asked to; ``args[0]`` is the step from which it can go on."""


@dataclass(slots=True)
class Progress:
    """How far a run has come: all that a checkpoint must bring back besides tensors.

    Attributes:
        step: optimiser steps done.
        tokens: tokens seen, shared ones counted for each row.
        seconds: spent in training.
        losses: of the latest steps.
        validations: what the validation losses were; of reinforcement the mean rewards, negated.
        best_step: step of the lowest validation loss; 0 when there is none.
        best_loss: that loss.
        idle: looks since then.
        updates: steps that had anything to learn from: all, but for those of reinforcement whose rewards told nothing.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    best_step: int = 0
    best_loss: float = math.inf
    idle: int = 0
    updates: int = 0

    def validated(self, best: int | None, *, losses: bool) -> dict[str, Any]:
        """What the looks at validation rows came to, for a run's summary.

        Args:
            best: the step whose weights were taken, when it is not the last one.
            losses: whether what was looked at are losses; else they are rewards, negated.
        """
        if not self.validations:
            return {}
        first, last = self.validations[0], self.best_loss if best else self.validations[-1]
        if losses:
            found: dict[str, Any] = {"validation_loss_before": first, "validation_loss": last}
        else:
            found = {"validation_reward_before": -first, "validation_reward": -last}
        return found | ({"best_step": best} if best else {})
