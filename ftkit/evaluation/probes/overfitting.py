"""Overfitting: better answers on training rows than on held-out rows, and memorised text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.scoring import measure, score_rows
from ftkit.results.json_values import canonical
from ftkit.results.probe_results import Gap
from ftkit.results.report_row import RowResult

__all__ = ["gap_between", "memorised_ngrams"]

N = 4
"""Length of the n-grams in words. N-gram memorisation scores commonly use 3 to 5 (Slack and Al Moubayed 2025,
arXiv:2510.11372)."""

_COMMON = 0.2  # an n-gram in a larger share of the targets is form, not content


def gap_between(
    metric: RowMetric, train: Sequence[RowResult], held_out: Sequence[RowResult], *, confidence: float
) -> Gap | None:
    """Compute the gap of a metric between training and held-out rows.

    The interval of the difference combines the two intervals by the square-and-add rule (Newcombe 1998, method 10;
    Zou and Donner 2008).

    Args:
        metric: the metric.
        train: answered training rows.
        held_out: answered held-out rows.
        confidence: confidence level of the interval.

    Returns:
        The gap; None if the metric has no value or no interval on one side.
    """
    sides = []
    for rows in (train, held_out):
        (result,) = measure(score_rows(rows, [metric]), [metric], confidence=confidence)
        if result.value is None or result.low is None or result.high is None:
            return None
        sides.append((result, result.value, result.low, result.high))
    (first, p1, l1, u1), (second, p2, l2, u2) = sides
    low = p1 - p2 - math.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    high = p1 - p2 + math.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return Gap(train=first, held_out=second, difference=p1 - p2, low=low, high=high)


def memorised_ngrams(rows: Sequence[RowResult]) -> RowMetric:
    """Make the metric of memorised n-grams: the share of a target's distinctive n-grams that the answer contains.

    An n-gram is distinctive if it is not in the prompt, from which it could be copied, and not in more than a fifth of
    the targets of ``rows``, where it would be part of their form. Rows without any are left out.

    Args:
        rows: the rows whose targets decide which n-grams are common.

    Returns:
        The metric ``memorised_ngrams``.
    """
    occurrences = Counter(ngram for row in rows for ngram in _ngrams(_target_text(row)))
    limit = max(1, math.floor(_COMMON * len(rows)))
    common = {ngram for ngram, count in occurrences.items() if count > limit}

    def score(row: RowResult) -> float | None:
        if not row.has_target:
            return None
        in_prompt = {ngram for message in row.prompt for ngram in _ngrams(str(message.get("content") or ""))}
        distinctive = _ngrams(_target_text(row)) - in_prompt - common
        return len(distinctive & _ngrams(row.text)) / len(distinctive) if distinctive else None

    return RowMetric(
        name="memorised_ngrams",
        description=f"wanted runs of {N} words, not to be read off the prompt, that are in the answer",
        score=score,
    )


def _target_text(row: RowResult) -> str:
    return row.target if isinstance(row.target, str) else canonical(row.target)


def _ngrams(text: str) -> set[tuple[str, ...]]:
    words = "".join(character if character.isalnum() else " " for character in text.casefold()).split()
    return {tuple(words[start : start + N]) for start in range(len(words) - N + 1)}
