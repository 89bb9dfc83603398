"""Decide from held-out divergences whether a run does too much harm: which models may be its result, when it stops."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ftkit.recipe.preserve import Preserve

__all__ = ["HarmBudget"]

_PATIENCE = 3
"""Evaluations in a row above the budget after which a run is stopped, unless the divergence falls, or the result is
interpolated."""
_FALLS = 0.9
"""Share of the first of these divergences below which the last one counts as falling: the raised weight works."""
_HOPELESS = 20.0
"""Multiple of the budget at which a run is stopped at once: the model has lost what it could."""
_MAX_WEIGHT = 64.0
"""Multiple of its first value that the divergence's weight may reach."""


@dataclass(slots=True)
class HarmBudget:
    """The divergences measured so far, and what follows from them.

    Attributes:
        preserve: the budget, and the weight to begin with.
        weight: weight of the divergence in the loss.
        measured: steps and held-out divergences in nats per token.
        over: evaluations in a row above the budget, up to the last one.
    """

    preserve: Preserve
    weight: float
    measured: list[tuple[int, float]] = field(default_factory=list)
    over: int = 0

    @classmethod
    def of(cls, preserve: Preserve) -> HarmBudget:
        """Begin.

        Args:
            preserve: the budget, and the weight to begin with.

        Returns:
            A budget with nothing measured.
        """
        return cls(preserve, preserve.kl)

    def add(self, step: int, divergence: float) -> bool:
        """Take a measurement; raise the weight if it is above the budget.

        Args:
            step: the last step done.
            divergence: held out, in nats per token.

        Returns:
            Whether a model with it may be the result, if need be after it was moved back towards the model before.
        """
        self.measured.append((step, divergence))
        budget = self.preserve.budget
        if budget is None or divergence <= budget:
            self.over = 0
            return True
        self.over += 1
        self.weight = min(2 * self.weight, _MAX_WEIGHT * self.preserve.kl)
        return self.allows(divergence)

    def allows(self, divergence: float) -> bool:
        """Decide whether a model may be the result, if need be after it was moved back towards the model before.

        Args:
            divergence: held out, in nats per token.

        Returns:
            Whether it may.
        """
        budget = self.preserve.budget
        return budget is None or divergence <= budget * (_HOPELESS if self.preserve.interpolate else 1.0)

    @property
    def stops(self) -> bool:
        """Whether the run must not go on."""
        budget = self.preserve.budget
        if budget is None or not self.measured:
            return False
        last = self.measured[-1][1]
        waited = self.over >= _PATIENCE and last > _FALLS * self.measured[-_PATIENCE][1]
        return (waited and not self.preserve.interpolate) or not last <= _HOPELESS * budget

    def describe(self) -> str:
        """Describe the last measurements.

        Returns:
            A clause, e.g. ``"0.41 nats per token at step 20, 0.52 at step 30 (preserve.budget is 0.1)"``.
        """
        last = [f"{value:.3g} at step {step}" for step, value in self.measured[-max(1, self.over) :]]
        last[0] = last[0].replace(" at", " nats per token at", 1)
        return f"{', '.join(last)} (preserve.budget is {self.preserve.budget:g})"

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold.

        Returns:
            Plain data.
        """
        return {name: value for name, value in asdict(self).items() if name != "preserve"}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Args:
            state: from a checkpoint.
        """
        self.weight, self.over = state["weight"], state["over"]
        self.measured = [(int(step), float(value)) for step, value in state["measured"]]
