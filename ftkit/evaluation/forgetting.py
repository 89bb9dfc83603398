"""Forgetting: abilities that a tuned model lost outside its task, from the probes of two reports."""

from __future__ import annotations

from ftkit.errors import ReportError
from ftkit.evaluation.probes.drift import loss_change
from ftkit.evaluation.row_comparison import compare_rows
from ftkit.results.probe_results import TextChange
from ftkit.results.report import Comparison, Forgetting, Probed, Report

__all__ = ["MARGIN", "forgetting_between", "forgetting_of"]

MARGIN = 0.05
"""Loss on a retention set that still counts as retained: five points."""


def forgetting_between(before: Report, after: Report, *, confidence: float, seed: int) -> Forgetting | None:
    """Measure what the second model lost.

    It is compared with its own base model if its report has that, else with the first model.

    Args:
        before: the report of the first model.
        after: the report of the second model.
        confidence: confidence level of the intervals.
        seed: seed of the sign-flip test.

    Returns:
        The changes; None if no probe can be paired.
    """
    if after.probes is None:
        return None
    return forgetting_of(after.probes.base or before.probes, after.probes, confidence=confidence, seed=seed)


def forgetting_of(before: Probed | None, after: Probed, *, confidence: float, seed: int) -> Forgetting | None:
    """Measure the changes between the probes of two models.

    Args:
        before: probes of the first model.
        after: probes of the second model.
        confidence: confidence level of the intervals.
        seed: seed of the sign-flip test.

    Returns:
        The changes; None if no probe can be paired.
    """
    if before is None:
        return None
    comparisons: dict[str, Comparison] = {}
    left_out = []
    for name in ("general", "retention"):
        first, second = getattr(before, name), getattr(after, name)
        if first is None or second is None:
            continue
        try:
            comparisons[name] = compare_rows(
                first, second, margin=MARGIN, confidence=confidence, primary=None, seed=seed
            )
        except ReportError as error:
            left_out.append(f"{name} set: {error}")
    change = None if before.text is None or after.text is None else loss_change(before.text, after.text)
    forgetting = Forgetting(
        **comparisons,
        text=None if change is None else TextChange(difference=change[0], low=change[1], high=change[2]),
        drift=after.drift,
        left_out=tuple(left_out),
    )
    return forgetting if forgetting != Forgetting() else None
