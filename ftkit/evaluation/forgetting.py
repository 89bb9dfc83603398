"""What a tuned model lost beside its task: the probes of two reports, pair by pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.errors import ReportError
from ftkit.evaluation.probes.drift import loss_change
from ftkit.results.probe_results import TextChange
from ftkit.results.report import Forgetting

if TYPE_CHECKING:
    from ftkit.results.report import Comparison, Probed, Report

__all__ = ["MARGIN", "forgetting_between", "forgetting_of"]

MARGIN = 0.05
"""Loss on a retention set that still counts as keeping it: five points."""


def forgetting_between(before: Report, after: Report, *, confidence: float, seed: int) -> Forgetting | None:
    """What the second model lost: beside its own base where its report has that, else beside the first model.

    ``None`` when nothing was probed that can be paired.
    """
    if after.probes is None:
        return None
    return forgetting_of(after.probes.base or before.probes, after.probes, confidence=confidence, seed=seed)


def forgetting_of(one: Probed | None, two: Probed, *, confidence: float, seed: int) -> Forgetting | None:
    """Pair what both were asked; ``None`` when there is nothing."""
    from ftkit.evaluation.report_comparison import compare

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
