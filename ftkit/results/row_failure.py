"""In which way an answer is wrong."""

from __future__ import annotations

from ftkit.results.report_row import RowResult
from ftkit.results.row_pairing import RIGHT

__all__ = ["FAILURE_KINDS", "failure_kind"]

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


def failure_kind(row: RowResult, metric: str) -> str | None:
    """Say in which way a row is wrong.

    Args:
        row: The row.
        metric: Name of the headline metric, which says whether it is wrong.

    Returns:
        One of :data:`FAILURE_KINDS`, the first that applies to one of its answers, with ``wrong call`` before those of
        a value; None if the row is right or does not count.
    """
    score = row.scores.get(metric)
    if score is None or score >= RIGHT:
        return None
    kinds = [_kind(row, metric), *(failure_kind(other, metric) for other in row.others)]
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
