"""ftkit's general set: 172 short questions that any assistant should answer, each checked by a program."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path

from ftkit.data import Dataset
from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.probes.checks import passes
from ftkit.results.report_row import RowResult
from ftkit.task import Task

__all__ = ["CATEGORIES", "GENERAL_OUTPUT_TOKENS", "GENERAL_TASK", "general_metrics", "general_set", "passages"]

GENERAL_TASK = Task(input="{prompt}")
GENERAL_OUTPUT_TOKENS = 64
"""Longest answer; the questions ask for short ones."""
CATEGORIES = ("knowledge", "arithmetic", "instructions", "format", "refusal", "talk")


def general_set(limit: int | None = None) -> Dataset:
    """Load the questions.

    A limited set takes the first questions of each category, not random ones, so that two reports with the same limit
    can be paired.

    Args:
        limit: largest number of questions, spread over the categories; all by default.

    Returns:
        The questions. The target of a row is its check; see :mod:`ftkit.evaluation.probes.checks`.
    """
    path = Path(str(files("ftkit.evaluation.probes") / "general.jsonl"))
    questions = Dataset.load(path, GENERAL_TASK, target="check", id="id")
    if limit is None or limit >= len(questions):
        return questions
    by_category: dict[str, list[str]] = {name: [] for name in CATEGORIES}
    for row in questions:
        by_category[row.columns["category"]].append(row.id)
    interleaved = [row_id for ids in zip_longest(*by_category.values()) for row_id in ids if row_id is not None]
    chosen = set(interleaved[:limit])
    return questions.filter(lambda row: row.id in chosen)


def general_metrics() -> tuple[RowMetric, ...]:
    """Make the metrics of the general set.

    Returns:
        ``passed`` over all questions, then ``passed:<category>``.
    """

    def of(category: str) -> Callable[[RowResult], bool | None]:
        return lambda row: _passed(row) if row.id.startswith(category) else None

    every = RowMetric(name="passed", description="general questions answered well enough, by program", score=_passed)
    parts = [
        RowMetric(name=f"passed:{name}", description=f"of the questions on {name}", score=of(name))
        for name in CATEGORIES
    ]
    return (every, *parts)


def passages() -> tuple[str, ...]:
    """Load short passages of prose, on which the loss of a model is measured.

    Returns:
        The passages.
    """
    text = (files("ftkit.evaluation.probes") / "passages.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def _passed(row: RowResult) -> bool:
    return row.finish_reason != "error" and passes(row.target, row.text)
