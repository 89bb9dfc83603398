"""Metrics of free text and of tool calls."""

from __future__ import annotations

import json
from typing import Any

from typing_extensions import override

from ftkit.evaluation.metrics.metric import Metric, MetricCollection, MetricContext, RowMetric
from ftkit.evaluation.metrics.text_overlap import CHRF
from ftkit.results.report_row import RowResult
from ftkit.schema import TextOutput
from ftkit.schema.equality import normalize_text, same_text, same_value

__all__ = ["FREE_TEXT_WORDS", "TextMetrics"]

FREE_TEXT_WORDS = 6
"""A target of at least this many words is free text."""


class TextMetrics(MetricCollection):
    """Exact and normalised match, chrF of free text, and whether tool calls match if any row wants tool calls.

    Targets are free text if more than half of them have several words (:data:`FREE_TEXT_WORDS`). chrF leads then: two
    good answers rarely agree to the letter, so exact match stays at 0 and shows no difference.
    """

    automatic = True

    @override
    def metrics(self, context: MetricContext) -> tuple[Metric, ...]:
        if not isinstance(context.output, TextOutput):
            return ()
        return (
            *((CHRF,) if _is_free_text(context) else ()),
            *(_EXACT_MATCH, _NORMALISED_MATCH),
            *((_TOOL_CALLS_MATCH,) if any(row.target_tool_calls for row in context.rows) else ()),
        )


def _is_free_text(context: MetricContext) -> bool:
    words = [len(row.target.split()) for row in context.rows if isinstance(row.target, str)]
    return sum(count >= FREE_TEXT_WORDS for count in words) * 2 > len(words)


def _exact(row: RowResult) -> bool | None:
    return row.readable and same_text(row.text.strip(), row.target.strip()) if isinstance(row.target, str) else None


def _normalised(row: RowResult) -> bool | None:
    return (
        row.readable and normalize_text(row.text) == normalize_text(row.target) if isinstance(row.target, str) else None
    )


def _tool_calls(row: RowResult) -> bool | None:
    if not row.target_tool_calls:
        return None
    return same_value([_call(call) for call in row.tool_calls or ()], [_call(call) for call in row.target_tool_calls])


def _call(call: dict[str, Any]) -> Any:
    """Name and arguments: ids of calls are arbitrary, and arguments are JSON text."""
    function = call.get("function")
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments")
    try:
        return [function.get("name"), json.loads(arguments) if isinstance(arguments, str) else arguments]
    except ValueError:
        return [function.get("name"), arguments]


_EXACT_MATCH = RowMetric(
    name="exact_match",
    description="answers equal to the wanted text, outer spaces aside",
    score=_exact,
    headline_rank=1,
)
_NORMALISED_MATCH = RowMetric(
    name="normalised_match",
    description="answers equal to the wanted text but for case, spaces and punctuation",
    score=_normalised,
)
_TOOL_CALLS_MATCH = RowMetric(
    name="tool_calls_match",
    description="rows that want tool calls, answered with the same calls and arguments in the same order",
    score=_tool_calls,
    headline_rank=3,
)
