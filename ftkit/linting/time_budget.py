"""How long a rule may take, and what it left out for that."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["TimeBudget"]


class TimeBudget:
    """The time of the rule that runs now. A rule that may take long asks for what is left, and says what it leaves out.

    Args:
        seconds: time of each rule; None: no limit.
        on_step: called with a text when a rule begins, or begins a step that may take long.
    """

    def __init__(self, seconds: float | None = None, on_step: Callable[[str], None] | None = None) -> None:
        self.seconds = seconds
        self._on_step = on_step
        self._started = time.monotonic()
        self._rule = ""
        self.limited: dict[str, str] = {}
        """By rule, what it left out."""

    def begin(self, rule: str) -> None:
        """Begin a rule.

        Args:
            rule: its code and name.
        """
        self._rule, self._started = rule, time.monotonic()
        self.step("")

    def step(self, what: str) -> None:
        """Tell progress.

        Args:
            what: what the rule does now.
        """
        if self._on_step is not None:
            self._on_step(f"{self._rule}: {what}" if what else self._rule)

    @property
    def spent_s(self) -> float:
        """Seconds since the rule began."""
        return time.monotonic() - self._started

    @property
    def left_s(self) -> float:
        """Seconds that the rule has left; infinite without a limit."""
        return float("inf") if self.seconds is None else self.seconds - self.spent_s

    def limit(self, what: str) -> None:
        """Note what the rule leaves out.

        Args:
            what: what it did instead, e.g. ``"trained on 5,000 of 12,000 rows"``.
        """
        self.limited[self._rule] = what
