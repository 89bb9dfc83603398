"""Metrics of answers that call tools."""

from __future__ import annotations

from typing_extensions import override

from ftkit.evaluation.metrics.metric import Metric, MetricCollection, MetricContext, RowMetric
from ftkit.results.report_row import RowResult

__all__ = ["ToolCallMetrics"]


class ToolCallMetrics(MetricCollection):
    """Whether tool calls match, for a task of any output, if a row wants tool calls."""

    automatic = True

    @override
    def metrics(self, context: MetricContext) -> tuple[Metric, ...]:
        return (_TOOL_CALLS_MATCH,) if any(row.target_tool_calls for row in context.rows) else ()


def _score(row: RowResult) -> bool | None:
    return row.calls_right if row.target_tool_calls else None


_TOOL_CALLS_MATCH = RowMetric(
    name="tool_calls_match",
    description="rows that want tool calls, answered with the same calls and arguments in the same order",
    score=_score,
    headline_rank=3,
)
