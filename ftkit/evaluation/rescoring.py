"""Scoring a report again: the answers stay, the metrics may be others."""

from __future__ import annotations

from ftkit.evaluation.costs import right_answers
from ftkit.evaluation.metrics import Metrics, chosen_metrics, headline
from ftkit.evaluation.scoring import measure, score_rows
from ftkit.evaluation.statistics import check_confidence
from ftkit.results.report import Report
from ftkit.schema.comparators import Comparators, comparators_of

__all__ = ["rescored"]


def rescored(
    report: Report,
    metrics: Metrics,
    *,
    comparators: Comparators | None,
    primary: str | None,
    confidence: float | None,
    seed: int | None,
) -> Report:
    """See :meth:`ftkit.Report.rescore`."""
    level, start = report.confidence if confidence is None else confidence, report.seed if seed is None else seed
    check_confidence(level)
    fields = report.comparators if comparators is None else comparators_of(comparators, report.output.fields())
    chosen = chosen_metrics(metrics, report.output, report.rows, fields)
    lead = headline(chosen, primary)
    rows = score_rows(report.rows, chosen)
    total, right = report.cost.total_usd, sum(right_answers(row, lead) for row in rows)
    # Not model_copy, which would keep the digest of the old content.
    dumped = {name: getattr(report, name) for name in type(report).model_fields}
    return Report.model_construct(
        **{
            **dumped,
            "rows": rows,
            "comparators": fields,
            "primary": lead,
            "confidence": level,
            "seed": start,
            "metrics": measure(rows, chosen, confidence=level, seed=start),
            "cost": report.cost.model_copy(
                update={"per_success_usd": None if total is None or right == 0 else total / right}
            ),
        }
    )
