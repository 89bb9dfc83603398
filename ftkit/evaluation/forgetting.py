"""What a tuned model lost beside its task: the probes of two reports, pair by pair."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ftkit.errors import ReportError
from ftkit.evaluation.probes.drift import BaseDrift, loss_change
from ftkit.render.number_format import change_text, count_text

if TYPE_CHECKING:
    from ftkit.results.comparison import Comparison
    from ftkit.results.report import Probed, Report

__all__ = ["MARGIN", "Forgetting", "TextChange", "forgetting_between", "forgetting_of"]

MARGIN = 0.05
"""Loss on a retention set that still counts as keeping it: five points."""


class TextChange(BaseModel):
    """How much more surprising plain prose became, in nats a token, with its paired 95 % interval."""

    model_config = ConfigDict(frozen=True)

    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        factor = math.exp(self.difference)
        return (
            f"loss on plain prose {change_text(self.difference, 'number')} nats a token "
            f"({change_text(self.low, 'number')} to {change_text(self.high, 'number')}), perplexity × {factor:.2f}"
        )


class Forgetting(BaseModel):
    """What became of abilities that the task does not need."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    general: Comparison | None = None
    """On ftkit's general set."""
    retention: Comparison | None = None
    """On the user's own set."""
    text: TextChange | None = None
    drift: BaseDrift | None = None
    """Of the second model from its base."""
    left_out: tuple[str, ...] = ()
    """Probes that cannot be paired, and why."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What should worry, in sentences; empty when nothing does."""
        found = []
        for name, part in (("the general set", self.general), ("the retention set", self.retention)):
            if part is not None and part.verdict == "worse":
                change = part[part.primary]
                lost = f"{change_text(change.difference, change.unit)} points"
                reach = f"{change_text(change.low, change.unit)} to {change_text(change.high, change.unit)}"
                found.append(f"forgetting: {lost} on {name} ({reach}, {count_text(change.n)} questions)")
        return tuple(found)

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything that was measured, in sentences."""
        found = []
        for name, part in (("General set", self.general), ("Retention set", self.retention)):
            if part is not None:
                words = {"worse": "forgotten", "inconclusive": "cannot tell", "non-inferior": "kept", "better": "kept"}
                found.append(f"{name}: {words[part.verdict]}. {part.sentence}")
        if self.text is not None:
            found.append(f"Prose: {self.text}")
        if self.drift is not None:
            drift = self.drift
            found.append(
                f"Drift: KL(base ‖ tuned) {drift.mean_kl:.3g} nats a token ({drift.low:.3g} to {drift.high:.3g}) along "
                f"{count_text(drift.prompts)} answers of {drift.base}"
            )
        return (*found, *(f"Not compared: {reason}" for reason in self.left_out))


def forgetting_between(before: Report, after: Report, *, confidence: float, seed: int) -> Forgetting | None:
    """What the second model lost: beside its own base where its report has that, else beside the first model.

    ``None`` when nothing was probed that can be paired.
    """
    if after.probes is None:
        return None
    return forgetting_of(after.probes.base or before.probes, after.probes, confidence=confidence, seed=seed)


def forgetting_of(one: Probed | None, two: Probed, *, confidence: float, seed: int) -> Forgetting | None:
    """Pair what both were asked; ``None`` when there is nothing."""
    from ftkit.results.comparison import compare

    if one is None:
        return None
    parts: dict[str, Comparison] = {}
    left_out = []
    for name in ("general", "retention"):
        first, second = getattr(one, name), getattr(two, name)
        if first is None or second is None:
            continue
        try:
            parts[name] = compare(first, second, margin=MARGIN, confidence=confidence, seed=seed)
        except ReportError as error:
            left_out.append(f"{name} set: {error}")
    moved = None if one.text is None or two.text is None else loss_change(one.text, two.text, seed)
    found = Forgetting(
        **parts,
        text=None if moved is None else TextChange(difference=moved[0], low=moved[1], high=moved[2]),
        drift=two.drift,
        left_out=tuple(left_out),
    )
    return found if found != Forgetting() else None
