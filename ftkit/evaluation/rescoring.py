"""Score the answers of a report again, with other metrics."""

from __future__ import annotations

from ftkit.evaluation.costs import right_answers
from ftkit.evaluation.metrics import MetricContext, Metrics, headline, select_metrics
from ftkit.evaluation.scoring import measure, score_rows
from ftkit.evaluation.statistics import check_confidence
from ftkit.results.report import Report
from ftkit.schema.comparators import Comparators, comparators_of

__all__ = ["rescore"]


def rescore(
    report: Report,
    metrics: Metrics,
    *,
    comparators: Comparators | None,
    primary: str | None,
    confidence: float | None,
    seed: int | None,
) -> Report:
    """Score a report again; see :meth:`ftkit.Report.rescore`.

    Args:
        report: the report.
        metrics: as for :func:`ftkit.evaluate`.
        comparators: as for :func:`ftkit.evaluate`; None keeps the report's.
        primary: the metric to lead with; None is the output's accuracy.
        confidence: confidence level of the intervals; None keeps the report's.
        seed: seed that the new report records; None keeps the report's.

    Returns:
        A new report with the same answers.

    Raises:
        ConfigError: an unknown metric or field, or ``confidence`` is out of range.
        MissingExtraError: a library that a grader needs is not installed.
    """
    confidence = report.confidence if confidence is None else confidence
    seed = report.seed if seed is None else seed
    check_confidence(confidence)
    fields = report.comparators if comparators is None else comparators_of(comparators, report.output.fields())
    selected = select_metrics(metrics, MetricContext(report.output, report.rows, fields))
    primary = headline(selected, primary)
    rows = score_rows(report.rows, selected)
    higher_is_better = next(metric.higher_is_better for metric in selected if metric.name == primary)
    right = sum(right_answers(row, primary, higher_is_better=higher_is_better) for row in rows)
    total = report.cost.total_usd
    # model_copy would keep the cached digest of the old content.
    fields_of_report = {name: getattr(report, name) for name in type(report).model_fields}
    return Report.model_construct(
        **{
            **fields_of_report,
            "rows": rows,
            "comparators": fields,
            "primary": primary,
            "confidence": confidence,
            "seed": seed,
            "metrics": measure(rows, selected, confidence=confidence),
            "cost": report.cost.model_copy(
                update={"per_success_usd": None if total is None or right == 0 else total / right}
            ),
        }
    )
