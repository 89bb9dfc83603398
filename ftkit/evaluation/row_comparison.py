"""Comparison of the answers in two reports, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ftkit.arguments import check_kind
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, ReportError
from ftkit.evaluation.costs import break_even
from ftkit.evaluation.missing_answers import missing_reason, verdict_with_missing
from ftkit.evaluation.paired_difference import metric_changes, paired_statistics
from ftkit.evaluation.row_dependence import depends_on_rows
from ftkit.evaluation.statistics import check_confidence
from ftkit.evaluation.verdict import Evidence, Improvement, floor_reason, rows_needed, sentence, verdict_of
from ftkit.results.metric_result import Unit, Verdict
from ftkit.results.report import Comparison, Report
from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import Counts, kind_of, paired_rows

__all__ = ["check_margin", "compare_rows"]


def compare_rows(
    before: Report,
    after: Report,
    *,
    margin: float | None,
    confidence: float,
    primary: str | None,
    seed: int,
    other_prompts: bool = False,
) -> Comparison:
    """Compare the rows of two reports; see :func:`ftkit.compare`. Probes are not compared.

    Args:
        before: the first report.
        after: the second report.
        margin: the largest acceptable loss of the headline metric.
        confidence: confidence level of the intervals.
        primary: the metric of the verdict.
        seed: seed of the sign-flip test.
        other_prompts: whether instructions and examples may differ.

    Returns:
        The comparison without forgetting.

    Raises:
        ReportError: the reports differ in output, rows, prompts or targets, or do not share the metric.
        ConfigError: ``margin`` or ``confidence`` is out of range, or an argument is not a report.
    """
    for name, report in (("before", before), ("after", after)):
        check_kind(report, Report, name, "an ft.Report: ft.evaluate(model, test), or ft.Report.load(path)")
    check_confidence(confidence)
    pairs = paired_rows(before, after, other_prompts=other_prompts)
    name = before.primary if primary is None else primary
    changes = tuple(
        each.model_copy(
            update={
                "verdict": verdict_with_missing(
                    each.verdict, each, before, pairs, margin=None, confidence=confidence, seed=seed
                )
            }
        )
        for each in metric_changes(before, after, pairs, primary=name, confidence=confidence, seed=seed)
    )
    change = next((each for each in changes if each.name == name), None)
    if change is None:
        shared = ", ".join(each.name for each in changes)
        raise ReportError(f'primary: no metric "{name}" in both reports; shared are {shared}')
    if not all(name in row.scores for pair in pairs for row in pair):
        single = ", ".join(each.name for each in changes if each.name in pairs[0][0].scores)
        raise ReportError(f'primary: "{name}" does not score single rows, so no verdict can rest on it; use {single}')
    check_margin(margin, change.unit)
    improvement = Improvement.of_change(change, change.p_value)
    if improvement is None:
        raise ReportError(f'primary: "{name}" has no interval on these rows, so no verdict can rest on it')
    paired = paired_statistics(before, pairs, [name])[name]
    counted_wrong = verdict_of(improvement, margin=margin, confidence=confidence)
    verdict = verdict_with_missing(
        counted_wrong, change, before, pairs, margin=margin, confidence=confidence, seed=seed
    )
    names = (before.label, after.label) if before.label != after.label else ("before", "after")
    better_up = change.higher_is_better
    reason = floor_reason(improvement, margin=margin, unit=change.unit, higher_is_better=better_up)
    reason = reason or _constant_reason(pairs, margin)
    if not reason and verdict == "non-inferior":
        reason = _ignoring_reason(after, name, pairs, names)
    if reason and verdict == "non-inferior":
        verdict = "inconclusive"
    if verdict == "inconclusive" and counted_wrong != "inconclusive" and not reason:
        reason = missing_reason(name, pairs, names)
    if verdict == "non-inferior" and counted_wrong == "better":
        reason = missing_reason(name, pairs, names, "Whether it is better")
    needed = None
    if verdict == "inconclusive" and not reason:
        needed = rows_needed(paired, margin=margin, confidence=confidence, higher_is_better=better_up)
    kinds = [kind_of(pair, change) for pair in pairs]
    return Comparison(
        verdict=verdict,
        sentence=sentence(
            verdict,
            improvement,
            Evidence.of(paired),
            names=names,
            metric=name,
            unit=change.unit,
            margin=margin,
            confidence=confidence,
            needed=needed,
            reason=reason,
        ),
        rows_needed=None if needed is None else needed[0],
        primary=name,
        margin=margin,
        confidence=confidence,
        counts=Counts(**Counter[str](kinds)),
        metrics=changes,
        before=before,
        after=after,
        break_even=break_even(before, after) if _may_replace(verdict, improvement, margin) else None,
        other_prompts=other_prompts,
    )


def _may_replace(verdict: Verdict, improvement: Improvement, margin: float | None) -> bool:
    """Whether the second model may take the place of the first: as good, or no loss beyond the margin was seen."""
    return verdict in ("better", "non-inferior") or (
        verdict == "inconclusive" and improvement.change >= -(margin or 0.0) - 1e-12
    )


def _constant_reason(pairs: Sequence[tuple[RowResult, RowResult]], margin: float | None) -> str:
    """Explain why two models with one constant answer each cannot be called non-inferior to each other.

    A constant answer that more than half of the rows want is named in the notes of the reports instead.

    Args:
        pairs: The rows of both reports.
        margin: The largest acceptable loss; None if none was set.

    Returns:
        The reason; empty if there may be evidence.
    """
    if margin is None:
        return ""
    if _has_majority(pairs):
        return ""
    for side in (0, 1):
        rows = [each for pair in pairs for each in (pair[side], *pair[side].others)]
        if any(row.error is not None for row in rows):
            return ""  # what a failed request would have said is not known
        if len({(row.text.strip(), repr(row.tool_calls)) for row in rows}) > 1:
            return ""
    return (
        "There is no evidence: each model gives one and the same answer to all rows, though they want different ones, "
        "so an answer that ignores the row scores as much."
    )


def _ignoring_reason(
    after: Report, metric: str, pairs: Sequence[tuple[RowResult, RowResult]], names: tuple[str, str]
) -> str:
    """Explain why a model whose answers do not depend on the rows cannot be called non-inferior to another."""
    if _has_majority(pairs) or depends_on_rows(after, metric) is not False:
        return ""
    return (
        f"There is no evidence: the answers of {names[1]} score no more on their own rows than on other rows, so "
        f"{metric} cannot tell it from a model that ignores the row."
    )


def _has_majority(pairs: Sequence[tuple[RowResult, RowResult]]) -> bool:
    """Whether there are no targets, or more than half of the rows want one and the same answer."""
    targets = Counter(repr((row.target, row.target_tool_calls)) for row, _ in pairs if row.has_target)
    return not targets or 2 * targets.most_common(1)[0][1] > targets.total()


def check_margin(margin: float | None, unit: Unit) -> None:
    """Check that a margin makes sense for a metric.

    Args:
        margin: the largest acceptable loss; None if none was set.
        unit: unit of the metric.

    Raises:
        ConfigError: the margin is not above 0, or allows any loss.
    """
    if margin is None:
        return
    if not margin > 0:
        raise ConfigError(
            ErrorText(
                Argument("margin", text="margin"), f" must be above 0, not {margin}: it is the largest acceptable loss"
            )
        )
    if unit == "rate" and margin >= 1:
        raise ConfigError(
            ErrorText(
                Argument("margin", str(margin), text=f"margin={margin}"),
                " of a rate would allow any loss; two points are 0.02",
            )
        )
