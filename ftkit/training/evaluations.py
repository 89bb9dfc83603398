"""What a run measures between steps: the validation rows' loss, their answers, the harm; and what follows from it."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch

from ftkit.errors import TrainingError
from ftkit.training.answer_evaluation import AnswerEvaluation
from ftkit.training.example_source import ExampleSource, TrainingContext
from ftkit.training.preservation import Preservation

__all__ = ["Evaluations", "Look"]


class Look(NamedTuple):
    """One evaluation.

    Attributes:
        objective: what should fall; the best model has the lowest.
        tie: decides between equal objectives.
        validation: the validation rows' mean loss, or mean reward, negated; None if there are none.
        allowed: whether this model may be the result.
    """

    objective: float
    tie: float
    validation: float | None
    allowed: bool


class Evaluations:
    """Evaluates the model in training.

    Args:
        context: what the run trains with.
        source: evaluates the validation rows by loss or reward.
        total_steps: optimiser steps of the whole run.

    Attributes:
        preservation: rehearses and measures the harm, if the recipe has a ``preserve``.
        name: what the best model is chosen by: ``"loss"``, ``"reward"`` or a metric.
        higher_is_better: whether its objective is negated.
    """

    def __init__(self, context: TrainingContext, source: ExampleSource, total_steps: int) -> None:
        recipe = context.recipe
        self._context, self._source = context, source
        self._answers = None if recipe.eval_metric is None else AnswerEvaluation(context)
        self.preservation = None if recipe.preserve is None else Preservation(context, total_steps)
        metric = None if self._answers is None else self._answers.metric
        self.name = recipe.monitored if metric is None else metric.name
        self.higher_is_better = recipe.monitored == "reward" if metric is None else metric.higher_is_better

    @property
    def wanted(self) -> bool:
        """Whether there is anything to evaluate."""
        return self._source.has_validation or self.preservation is not None

    @property
    def chooses(self) -> bool:
        """Whether the result may be another model than the last one."""
        return self._source.has_validation or (
            self.preservation is not None and self._context.recipe.preserve.budget is not None
        )

    def setup(self) -> None:
        """Prepare while the model has its initial weights."""
        if self.preservation is not None:
            self.preservation.setup()

    def look(self, step: int) -> Look:
        """Evaluate the current model, and emit what was measured.

        Args:
            step: the last step done.

        Returns:
            What follows for the choice of the best model.
        """
        began = time.monotonic()
        found, entries = self._task(step)
        if self.preservation is not None:
            budget, divergence = self.preservation.budget, self.preservation.measure()
            found = found._replace(allowed=budget.add(step, divergence))
            entries |= {"preserve_kl": divergence, "preserve_weight": budget.weight}
        self._context.emit("validation", {"step": step, **entries, "seconds": round(time.monotonic() - began, 3)})
        return found

    @torch.no_grad()
    def _task(self, step: int) -> tuple[Look, dict[str, Any]]:
        """How good the model is at the task, and the entries of the event."""
        # Without validation rows every model that is allowed is better than those before it.
        objective, tie, validation = -float(step), 0.0, None
        entries: dict[str, Any] = {}
        if self._source.has_validation:
            validation, metrics = self._source.evaluate()
            objective, entries = validation, {**metrics}
        if self._answers is not None and validation is not None:
            objective, metrics = self._answers.measure()
            tie, entries = validation, {**entries, **metrics}
        return Look(objective, tie, validation, allowed=True), entries

    def move_back(self, step: int) -> Look | None:
        """Move a result above the budget of harm back until it is within it, and evaluate it anew.

        Args:
            step: the step whose model is the result; its weights are in the model.

        Returns:
            The evaluation; None if the result stays as it is.

        Raises:
            TrainingError: nothing of the update fits the budget.
        """
        moved = None if self.preservation is None else self.preservation.move_back(step)
        if moved is None:
            return None
        share, divergence = moved
        found, entries = self._task(step)
        message = (
            f"the result keeps {share:.0%} of the update of step {step}, so that KL(before ‖ now) on held-out "
            f"rehearsal rows is within preserve.budget: {divergence:.3g} nats per token. A larger preserve.share "
            "usually keeps more"
        )
        figures = {f"result_{name}": value for name, value in entries.items()}
        self._context.emit("warning", {"message": message, **figures})
        return found

    def harm(self, step: int) -> str | None:
        """Say why the run must not go on.

        Args:
            step: the last step done.

        Returns:
            The reason, if what is preserved has stayed too far above its budget.
        """
        if self.preservation is None or not self.preservation.budget.stops:
            return None
        return f"step {step}: the run is stopped, because it harms the model: {self.preservation.budget.describe()}"

    def check_result(self, best_step: int, last_step: int) -> None:
        """Refuse to return a model above the budget, and say if an earlier one is returned for it.

        Args:
            best_step: the step of the best model within the budget; 0 if there is none.
            last_step: the last step done.

        Raises:
            TrainingError: no model was within the budget.
        """
        if self.preservation is None or self._context.recipe.preserve.budget is None:
            return
        budget = self.preservation.budget
        if not best_step:
            raise TrainingError(
                f"no model is within the budget of harm: KL(before ‖ now) on held-out rehearsal rows was "
                f"{budget.describe()}. A lower learning_rate than {self._context.recipe.learning_rate:.2g}, a larger "
                "preserve.share or a larger preserve.budget usually helps"
            )
        if best_step != last_step and budget.over and not budget.allows(budget.measured[-1][1]):
            self._context.warn(
                f"the result is the model of step {best_step}, because later ones are above the budget of harm: "
                f"{budget.describe()}"
            )
