"""Signs that a run goes wrong: what stops it, and what causes a warning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ftkit.errors import TrainingError
from ftkit.recipe import Recipe, RecipeFacts

__all__ = ["LossMonitor", "TrainingMonitor", "rate_warning"]

_WINDOW = 5
"""Steps whose mean loss is compared: the first ones with the latest ones."""
_DIVERGED = 3.0
"""Multiple of the first loss at which a run is stopped."""
_OVERFITTED = 1.1
"""Multiple of the lowest validation loss from which on a run is said to overfit."""
_MEMORISED = 0.05
"""Loss in nats per token below which rows of an earlier epoch are memorised."""


class TrainingMonitor(Protocol):
    """Watches a run. What it remembers is plain data, so that a resumed run remembers it too."""

    def step(self, step: int, epoch: int, loss: float, metrics: Mapping[str, Any]) -> None:
        """Take the measurements of a step.

        Args:
            step: from 1.
            epoch: from 0.
            loss: the batch's mean loss.
            metrics: the batch's other measurements.

        Raises:
            TrainingError: the run must not continue.
        """

    def validation(self, step: int, objective: float) -> None:
        """Take an evaluation of the validation rows.

        Args:
            step: the last step done.
            objective: the mean loss, or the mean reward, negated.
        """

    def state(self) -> dict[str, Any]:
        """Return what to remember.

        Returns:
            Plain data.
        """
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Args:
            state: from a checkpoint.
        """


def rate_warning(recipe: Recipe, facts: RecipeFacts) -> str | None:
    """Compare the learning rate with the usual range.

    Args:
        recipe: resolved or not.
        facts: what ``"auto"`` would depend on.

    Returns:
        A sentence if the rate is outside of the range, else None.
    """
    low, high = (rate / recipe.adapter.learning_rate_divisor for rate in recipe.usual_rates)
    rate = recipe.learning_rate
    if rate == "auto" or low <= rate <= high:
        return None
    side = "above" if rate > high else "below"
    return (
        f"learning_rate {rate:.2g} is {side} the usual range for {recipe.kind} with {recipe.adapter.kind} "
        f'({low:.0e} to {high:.0e}); "auto" takes {recipe.auto_rate(facts):.1e}'
    )


@dataclass(slots=True)
class LossMonitor:
    """Watches losses: divergence, overfitting, memorised rows.

    Args:
        recipe: resolved.
        warn: called with the first warning; later ones are dropped.
    """

    recipe: Recipe
    warn: Callable[[str], None]
    first: list[float] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    lowest: float | None = None
    warned: bool = False

    def step(self, step: int, epoch: int, loss: float, metrics: Mapping[str, Any]) -> None:
        """Take the loss of a step.

        Args:
            step: from 1.
            epoch: from 0.
            loss: the batch's mean loss.
            metrics: ignored.

        Raises:
            TrainingError: the loss has diverged.
        """
        if len(self.first) < _WINDOW:
            self.first.append(loss)
        self.recent = [*self.recent, loss][-_WINDOW:]
        initial, median = _mean(self.first), sorted(self.recent)[len(self.recent) // 2]
        if step > 2 * _WINDOW and median > _DIVERGED * initial + 0.5:
            raise TrainingError(
                f"step {step}: the loss has risen from {initial:.3g} (first {_WINDOW} steps) to {median:.3g} (last "
                f"{_WINDOW}), so the run is stopped. A learning_rate below {self.recipe.learning_rate:.2g} or a larger "
                "warmup_ratio usually helps"
            )
        if self.recipe.token_loss and epoch and self.lowest is None and max(self.recent) < _MEMORISED:
            self._warn_once(
                f"step {step}: after {epoch} earlier epochs the loss on the training rows is {_mean(self.recent):.3f}: "
                "they are memorised. Fewer epochs may be enough; validation rows would show it"
            )

    def validation(self, step: int, objective: float) -> None:
        """Take a validation loss.

        Args:
            step: the last step done.
            objective: the mean loss of the validation rows.
        """
        training = _mean(self.recent) if self.recent else objective
        if self.lowest is not None and objective > _OVERFITTED * self.lowest and training < objective / 2:
            self._warn_once(
                f"step {step}: the model overfits: the validation loss has risen from {self.lowest:.3f} to "
                f"{objective:.3f}, while the training loss is {training:.3f}. Use fewer epochs, or "
                "early_stopping_patience"
            )
        self.lowest = objective if self.lowest is None else min(self.lowest, objective)

    def state(self) -> dict[str, Any]:
        """Return what to remember.

        Returns:
            Plain data.
        """
        return {"first": self.first, "recent": self.recent, "lowest": self.lowest, "warned": self.warned}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Args:
            state: from a checkpoint.
        """
        self.first, self.recent = list(state["first"]), list(state["recent"])
        self.lowest, self.warned = state["lowest"], state["warned"]

    def _warn_once(self, message: str) -> None:
        if not self.warned:
            self.warned = True
            self.warn(message)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
