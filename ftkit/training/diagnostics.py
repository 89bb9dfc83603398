"""Signs that a run goes wrong: what stops it, and what is worth a warning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ftkit.errors import TrainingError
from ftkit.recipe import Recipe

__all__ = ["Health", "rate_warning"]

_FIRST = 5
"""Steps whose mean loss is where the run began; as many are looked at later."""
_EXPLODED = 3.0
"""Times the first loss at which a run is given up."""
_RISEN = 1.1
"""Times the lowest validation loss from which on memorisation is spoken of."""
_MEMORISED = 0.05
"""Loss in nats a token below which rows that were seen before are known by heart."""


def rate_warning(recipe: Recipe) -> str | None:
    """A sentence when the learning rate is out of the range in which the field usually finds it."""
    low, high = recipe.usual_rates
    low, high = low / recipe.adapter.learning_rate_divisor, high / recipe.adapter.learning_rate_divisor
    rate = recipe.learning_rate
    if rate == "auto" or low <= rate <= high:
        return None
    side = "above" if rate > high else "below"
    return (
        f"learning_rate {rate:.2g} is {side} what is usual for {recipe.kind} with {recipe.adapter.kind} "
        f'({low:.0e} to {high:.0e}); "auto" takes {recipe.auto_rate():.0e}'
    )


@dataclass(slots=True)
class Health:
    """Looks at losses as they come. What it remembers is plain data, so that a resumed run remembers it too.

    Args:
        recipe: resolved.
        warn: told of each warning, once.
    """

    recipe: Recipe
    warn: Callable[[str], None]
    first: list[float] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    lowest: float | None = None
    warned: bool = False

    def step(self, step: int, epoch: int, loss: float) -> None:
        """Take the loss of a step (``epoch`` from 0).

        Raises:
            TrainingError: the loss has exploded.
        """
        if len(self.first) < _FIRST:
            self.first.append(loss)
        self.recent = [*self.recent, loss][-_FIRST:]
        began, now = _mean(self.first), sorted(self.recent)[len(self.recent) // 2]
        if step > 2 * _FIRST and now > _EXPLODED * began + 0.5:
            raise TrainingError(
                f"step {step}: the loss has risen from {began:.3g} (first {_FIRST} steps) to {now:.3g} (last "
                f"{_FIRST}), so the run is given up. A learning_rate below {self.recipe.learning_rate:.2g} or a larger "
                "warmup_ratio usually cures it"
            )
        if self.recipe.token_loss and epoch and self.lowest is None and max(self.recent) < _MEMORISED:
            self._warn(
                f"step {step}: on rows seen {epoch} times before, the loss is {_mean(self.recent):.3f}: they are known "
                "by heart. Fewer epochs may do; validation rows would tell"
            )

    def validation(self, step: int, loss: float) -> None:
        """Take a validation loss."""
        now = _mean(self.recent) if self.recent else loss
        if self.lowest is not None and loss > _RISEN * self.lowest and now < loss / 2:
            self._warn(
                f"step {step}: memorisation has set in: the validation loss has risen from {self.lowest:.3f} to "
                f"{loss:.3f}, while the training loss is {now:.3f}. Fewer epochs or early_stopping_patience would stop "
                "before that"
            )
        self.lowest = loss if self.lowest is None else min(self.lowest, loss)

    def state(self) -> dict[str, Any]:
        """What to remember."""
        return {"first": self.first, "recent": self.recent, "lowest": self.lowest, "warned": self.warned}

    def restore(self, state: dict[str, Any]) -> None:
        """Remember what :meth:`state` gave."""
        self.first, self.recent = list(state["first"]), list(state["recent"])
        self.lowest, self.warned = state["lowest"], state["warned"]

    def _warn(self, message: str) -> None:
        if not self.warned:
            self.warned = True
            self.warn(message)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
