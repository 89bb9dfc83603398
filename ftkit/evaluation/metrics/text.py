"""Metrics of free text."""

from __future__ import annotations

from typing_extensions import override

from ftkit.evaluation.metrics.metric import Metric, MetricCollection, MetricContext, RowMetric
from ftkit.evaluation.metrics.text_overlap import CHRF
from ftkit.results.report_row import RowResult
from ftkit.schema import TextOutput
from ftkit.schema.equality import normalize_text, same_text

__all__ = ["FREE_TEXT_WORDS", "TextMetrics"]

FREE_TEXT_WORDS = 6
"""A target of at least this many words is free text."""


class TextMetrics(MetricCollection):
    """Exact and normalised match, and chrF of free text.

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
