"""``compare``: two reports on the same rows, and what the second model lost outside the task."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.arguments import explain_calls
from ftkit.errors import ConfigError
from ftkit.evaluation.forgetting import forgetting_between
from ftkit.evaluation.row_comparison import compare_rows
from ftkit.results.report import Comparison, Report

__all__ = ["best_report", "compare"]


@explain_calls(instead="ft.compare(before, after)")
def compare(
    before: Report | Sequence[Report],
    after: Report,
    *,
    margin: float | None = None,
    confidence: float = 0.95,
    primary: str | None = None,
    seed: int = 0,
    other_prompts: bool = False,
) -> Comparison:
    """Compare two reports on the same rows, pair by pair.

    Args:
        before: the report of the model to beat or to replace; or several of one model, such as those of
            :func:`ftkit.baselines`, of which the best is compared.
        after: the report of the other model.
        margin: the largest acceptable loss of the headline metric, chosen before the comparison is seen: 0.02 is two
            points of a rate. Without a margin, "non-inferior" is never a verdict.
        confidence: confidence level of the intervals. The verdict follows from the headline metric's interval.
        primary: the metric of the verdict; it must score single rows. By default the headline of ``before``.
        seed: seed of the sign-flip test.
        other_prompts: allow tasks with other instructions or examples, to compare one prompt with another, such as that
            of :func:`ftkit.optimise_prompt`. The questions must be the same.

    Returns:
        The comparison, with its verdict and the change of every shared metric.

    Raises:
        ReportError: the reports differ in output, rows, prompts or targets, or do not share the metric.
        ConfigError: ``margin`` or ``confidence`` is out of range, or an argument is not a report.
    """
    if isinstance(before, Sequence) and not isinstance(before, str):
        before = best_report(before, primary)
    comparison = compare_rows(
        before,
        after,
        margin=margin,
        confidence=confidence,
        primary=primary,
        seed=seed,
        other_prompts=other_prompts,
    )
    forgetting = forgetting_between(before, after, confidence=confidence, seed=seed)
    return comparison.model_copy(update={"forgetting": forgetting})


def best_report(reports: Sequence[Report], primary: str | None = None) -> Report:
    """Return the report with the best headline metric; among equals, the first.

    Args:
        reports: at least one report.
        primary: the metric; by default the headline of the first.

    Returns:
        The best one.

    Raises:
        ConfigError: there is none, or one is no report.
    """
    if not reports or not all(isinstance(report, Report) for report in reports):
        raise ConfigError("before must be an ft.Report, or a sequence of at least one")
    name = primary or reports[0].primary
    sign = 1 if reports[0][name].higher_is_better else -1

    def value(report: Report) -> float:
        found = report[name].value
        return float("-inf") if found is None else sign * found

    return max(reports, key=value)
