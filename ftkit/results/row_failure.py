"""In which way an answer is wrong."""

from __future__ import annotations

from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import RIGHT

__all__ = ["FAILURE_KINDS", "failure_kind", "is_right"]

FAILURE_KINDS = {
    "no answer": "the request failed",
    "cut off": "the answer reached max_output_tokens",
    "not readable": "the answer is not JSON, or none of the choices",
    "missing field": "a required field is missing",
    "extra field": "the schema has no such field",
    "wrong type": "a value has another type",
    "invalid value": "a value breaks the schema",
    "wrong value": "the answer is valid and wrong",
    "wrong call": "the answer calls other tools than wanted, or with other arguments, or none",
    "unclear": "a program cannot tell whether the answer is right",
}
"""Kinds of failure and what they mean."""


def is_right(score: float, *, higher_is_better: bool) -> bool:
    """Say whether a score is that of a right answer.

    Args:
        score: The score of one answer.
        higher_is_better: Which direction of the metric is good.

    Returns:
        Whether it is as good as a rate can be: 1, or 0 for rates of errors.
    """
    return (score if higher_is_better else 1 - score) >= RIGHT


def failure_kind(row: RowResult, metric: str, *, higher_is_better: bool = True) -> str | None:
    """Say in which way a row is wrong.

    Args:
        row: The row.
        metric: Name of the headline metric, which says whether it is wrong.
        higher_is_better: Which direction of that metric is good.

    Returns:
        One of :data:`FAILURE_KINDS`, the first that applies to one of its answers, with ``wrong call`` before those of
        a value; None if the row is right or does not count.
    """
    score = row.scores.get(metric)
    if score is None or is_right(score, higher_is_better=higher_is_better):
        return None
    others = (failure_kind(other, metric, higher_is_better=higher_is_better) for other in row.others)
    kinds = [_kind(row, metric), *others]
    return next((kind for kind in kinds if kind not in (None, "wrong value")), "wrong value")


def _kind(row: RowResult, metric: str) -> str:
    """How one answer is wrong, if it is."""
    if row.finish_reason == "error":
        return "no answer"
    if row.finish_reason == "length":
        return "cut off"
    if metric in row.unclear:
        return "unclear"
    if row.wants_calls or (row.tool_calls and not row.readable):
        return "wrong call"
    if not row.readable:
        return "not readable"
    if row.problems:
        return row.problems[0].problem.replace("_", " ")
    return "wrong value"
