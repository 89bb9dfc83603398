"""How many steps a run has done, and what it has measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Progress", "TrainingStopped"]


class TrainingStopped(Exception):  # noqa: N818  (a request that was carried out, not an error)
    """Training ended early on request; ``args[0]`` is the step from which it can resume."""


@dataclass(slots=True)
class Progress:
    """The counters of a run: with the tensors, all that a checkpoint must restore.

    Attributes:
        step: optimiser steps done.
        tokens: tokens trained on, shared ones counted for each row.
        seconds: time spent in training.
        losses: losses of the latest steps.
        validations: objectives of the validation rows: losses, or negated mean rewards.
        best_step: step of the lowest objective; 0 when there is none.
        best_loss: that objective.
        evaluations_without_improvement: evaluations since then.
        updates: steps that moved the weights. Steps of RFT whose rewards are all equal do not.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    best_step: int = 0
    best_loss: float = math.inf
    evaluations_without_improvement: int = 0
    updates: int = 0

    def add_validation(self, step: int, objective: float) -> bool:
        """Record an evaluation of the validation rows.

        Args:
            step: the optimiser step it was made after.
            objective: the value to minimise.

        Returns:
            Whether it is the lowest so far.
        """
        self.validations.append(objective)
        if objective >= self.best_loss:
            self.evaluations_without_improvement += 1
            return False
        self.best_step, self.best_loss, self.evaluations_without_improvement = step, objective, 0
        return True

    def validation_summary(self, best: int | None, monitored: Literal["loss", "reward"]) -> dict[str, Any]:
        """Summarise the evaluations of the validation rows.

        Args:
            best: the step whose weights were loaded, when it is not the last one.
            monitored: whether the objectives are losses, or rewards, negated.

        Returns:
            Entries of the run's summary: the loss or reward before training and at the end, and the best step.
        """
        if not self.validations:
            return {}
        first, last = self.validations[0], self.best_loss if best else self.validations[-1]
        sign = -1 if monitored == "reward" else 1
        summary: dict[str, Any] = {
            f"validation_{monitored}_before": sign * first,
            f"validation_{monitored}": sign * last,
        }
        return summary | ({"best_step": best} if best else {})
