"""Metrics of free text and of tool calls."""

from __future__ import annotations

import json
from typing import Any

from ftkit.evaluation.metrics.metric import Metric, RowMetric
from ftkit.results.report_row import RowResult
from ftkit.schema.equality import normalised, same_text, same_value

__all__ = ["text_metrics"]


def text_metrics(rows: tuple[RowResult, ...]) -> tuple[Metric, ...]:
    """Exact and normalised match; for rows that want tool calls, whether those are the wanted ones."""
    found = [
        RowMetric(name="exact_match", description="answers equal to the wanted text, outer spaces aside", score=_exact),
        RowMetric(
            name="normalised_match",
            description="answers equal to the wanted text but for case, spaces and punctuation",
            score=_normalised,
        ),
    ]
    if any(row.target_tool_calls for row in rows):
        found.append(
            RowMetric(
                name="tool_calls_match",
                description="rows that want tool calls, answered with the same calls and arguments in the same order",
                score=_tool_calls,
            )
        )
    return tuple(found)


def _exact(row: RowResult) -> bool | None:
    return row.readable and same_text(row.text.strip(), row.target.strip()) if isinstance(row.target, str) else None


def _normalised(row: RowResult) -> bool | None:
    return row.readable and normalised(row.text) == normalised(row.target) if isinstance(row.target, str) else None


def _tool_calls(row: RowResult) -> bool | None:
    if not row.target_tool_calls:
        return None
    return same_value([_call(call) for call in row.tool_calls or ()], [_call(call) for call in row.target_tool_calls])


def _call(call: dict[str, Any]) -> Any:
    """Name and arguments: ids of calls are arbitrary, and arguments travel as JSON text."""
    function = call.get("function")
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments")
    try:
        return [function.get("name"), json.loads(arguments) if isinstance(arguments, str) else arguments]
    except ValueError:
        return [function.get("name"), arguments]
