"""Learning by heart: rows of the training set answered better than others, their words said without being asked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.scoring import measure, score_rows
from ftkit.results.json_values import canonical
from ftkit.results.probe_results import Gap
from ftkit.results.report_row import RowResult

__all__ = ["gap_between", "memory_metric"]


N = 4
"""Words in a row that count as said by heart: the value that n-gram memorisation scores commonly use lies between 3 and
5 (Slack and Al Moubayed 2025, arXiv:2510.11372)."""

_COMMON = 0.2  # an n-gram in more than this share of the wanted answers is form, not content


def gap_between(
    metric: RowMetric, train: Sequence[RowResult], held_out: Sequence[RowResult], *, confidence: float, seed: int
) -> Gap | None:
    """The metric on both, and the interval of the difference by the square-and-add rule (Newcombe 1998, method 10;
    Zou and Donner 2008); ``None`` where one side has no value."""
    sides = []
    for rows in (train, held_out):
        (result,) = measure(score_rows(rows, [metric]), [metric], confidence=confidence, seed=seed)
        if result.value is None or result.low is None or result.high is None:
            return None
        sides.append((result, result.value, result.low, result.high))
    (one, p1, l1, u1), (two, p2, l2, u2) = sides
    low = p1 - p2 - math.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    high = p1 - p2 + math.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return Gap(train=one, held_out=two, difference=p1 - p2, low=low, high=high)


def memory_metric(rows: Sequence[RowResult]) -> RowMetric:
    """Share of a wanted answer's telling n-grams that the answer contains; rows without any are left out.

    An n-gram tells something when it is not in the prompt, where it could be copied from, and not part of the form
    that many wanted answers of ``rows`` share.
    """
    shared = Counter(gram for row in rows for gram in _grams(_wanted(row)))
    most = max(1, math.floor(_COMMON * len(rows)))
    common = {gram for gram, times in shared.items() if times > most}

    def score(row: RowResult) -> float | None:
        if not row.has_target:
            return None
        asked = {gram for message in row.prompt for gram in _grams(str(message.get("content") or ""))}
        telling = _grams(_wanted(row)) - asked - common
        return len(telling & _grams(row.text)) / len(telling) if telling else None

    return RowMetric(
        name="memorised_ngrams",
        description=f"wanted runs of {N} words, not to be read off the prompt, that are in the answer",
        score=score,
    )


def _wanted(row: RowResult) -> str:
    return row.target if isinstance(row.target, str) else canonical(row.target)


def _grams(text: str) -> set[tuple[str, ...]]:
    words = "".join(character if character.isalnum() else " " for character in text.casefold()).split()
    return {tuple(words[at : at + N]) for at in range(len(words) - N + 1)}
