"""Compare two reports on the same rows."""

from __future__ import annotations

from collections import Counter

from ftkit.errors import ConfigError, ReportError
from ftkit.evaluation.costs import break_even
from ftkit.evaluation.forgetting import forgetting_between
from ftkit.evaluation.paired_difference import changes
from ftkit.evaluation.statistics import check_confidence
from ftkit.evaluation.verdict import Gain, rows_needed, sentence, verdict_of
from ftkit.results.metric_result import Unit
from ftkit.results.report import Comparison, Counts, Report, kind_of
from ftkit.results.row_pairing import paired_rows
from ftkit.type_checks import check_kind

__all__ = ["compare"]


def compare(
    before: Report,
    after: Report,
    *,
    margin: float | None = None,
    confidence: float = 0.95,
    primary: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare two reports on the same rows, pair by pair.

    Args:
        before: the report of the model to beat or to replace.
        after: the report of the other.
        margin: the loss of the headline metric that would still be acceptable, set before looking: 0.02 is two points
            of a rate. Without one, "non-inferior" is never a verdict.
        confidence: of the intervals; the verdict is read off the headline metric's.
        primary: the metric of the verdict, one that scores single rows; the headline of ``before`` when left out.
        seed: of the bootstrap.

    Raises:
        ReportError: the reports differ in output, rows, prompts or wanted answers, or do not share the metric.
        ConfigError: ``margin`` or ``confidence`` out of range, or what is no report.
    """
    for name, report in (("before", before), ("after", after)):
        check_kind(report, Report, name, "an ft.Report: ft.evaluate(model, test), or ft.Report.load(path)")
    check_confidence(confidence)
    pairs = paired_rows(before, after)
    found = changes(before, after, pairs, confidence=confidence, seed=seed)
    name = before.primary if primary is None else primary
    change = next((item for item in found if item.name == name), None)
    if change is None:
        raise ReportError(f'primary: no metric "{name}" in both reports; shared are {", ".join(c.name for c in found)}')
    if not all(name in row.scores for pair in pairs for row in pair):
        single = ", ".join(c.name for c in found if c.name in pairs[0][0].scores)
        raise ReportError(f'primary: "{name}" does not score single rows, so no verdict can rest on it; use {single}')
    _check_margin(margin, change.unit)
    gain = Gain.of_change(change, change.p_value)
    if gain is None:
        raise ReportError(f'primary: "{name}" has no interval on these rows, so no verdict can rest on it')
    verdict = verdict_of(gain, margin=margin, confidence=confidence)
    needed = None
    if verdict == "inconclusive":
        needed = rows_needed(gain, margin=margin, confidence=confidence, unit=change.unit)
    kinds = [kind_of(pair, change) for pair in pairs]
    return Comparison(
        verdict=verdict,
        sentence=sentence(
            verdict,
            gain,
            names=(before.label, after.label) if before.label != after.label else ("before", "after"),
            metric=name,
            unit=change.unit,
            margin=margin,
            confidence=confidence,
            needed=needed,
        ),
        rows_needed=needed,
        primary=name,
        margin=margin,
        confidence=confidence,
        counts=Counts(**Counter[str](kinds)),
        metrics=found,
        before=before,
        after=after,
        forgetting=forgetting_between(before, after, confidence=confidence, seed=seed),
        break_even=break_even(before, after),
    )


def _check_margin(margin: float | None, unit: Unit) -> None:
    if margin is None:
        return
    if not margin > 0:
        raise ConfigError(f"margin must be above 0, not {margin}: it is the loss that would still be acceptable")
    if unit == "rate" and margin >= 1:
        raise ConfigError(f"margin={margin} of a rate would allow any loss; two points are 0.02")
