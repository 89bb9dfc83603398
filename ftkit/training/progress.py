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
        best_tie: what decided between equal objectives, for the best one.
        ties: what decided between equal objectives, for each of ``validations``.
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
    best_tie: float = math.inf
    ties: list[float] = field(default_factory=list)
    evaluations_without_improvement: int = 0
    updates: int = 0

    def add_validation(self, step: int, objective: float, tie: float = 0.0, *, allowed: bool = True) -> bool:
        """Record an evaluation of the validation rows.

        Args:
            step: the optimiser step it was made after.
            objective: the value to minimise.
            tie: of equal objectives, the one with the lower ``tie`` is better.
            allowed: whether the model may be the result; otherwise it is not the best, whatever its objective.

        Returns:
            Whether it is the best so far.
        """
        self.validations.append(objective)
        if not allowed or (objective, tie) >= (self.best_loss, self.best_tie):
            self.evaluations_without_improvement += 1
            return False
        self.best_step, self.best_loss, self.best_tie = step, objective, tie
        self.evaluations_without_improvement = 0
        return True

    def replace_result(self, objective: float, tie: float) -> None:
        """Record what was measured of the result after its weights were changed once more.

        Args:
            objective: the value to minimise.
            tie: what decides between equal objectives.
        """
        self.best_loss, self.best_tie = objective, tie
        self.validations[-1], self.ties[-1] = objective, tie

    def validation_summary(self, best: int | None, name: str, *, higher_is_better: bool) -> dict[str, Any]:
        """Summarise the evaluations of the validation rows.

        Args:
            best: the step whose weights were loaded, when it is not the last one.
            name: what the objectives are: ``"loss"``, ``"reward"``, or a metric.
            higher_is_better: whether they are negated.

        Returns:
            Entries of the run's summary: the value before training and at the end.
        """
        if not self.validations:
            return {}
        first, last = self.validations[0], self.best_loss if best else self.validations[-1]
        sign = -1 if higher_is_better else 1
        return {f"validation_{name}_before": sign * first, f"validation_{name}": sign * last}

    def tie_summary(self, best: int | None, monitored: Literal["loss", "reward"]) -> dict[str, Any]:
        """Summarise the loss or reward of evaluations that go by a metric.

        Args:
            best: the step whose weights were loaded, when it is not the last one.
            monitored: which of the two it is.

        Returns:
            Entries of the run's summary.
        """
        sign = -1 if monitored == "reward" else 1
        last = self.best_tie if best else self.ties[-1]
        return {f"validation_{monitored}_before": sign * self.ties[0], f"validation_{monitored}": sign * last}
