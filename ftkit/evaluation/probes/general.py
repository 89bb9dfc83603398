"""ftkit's own general set: 172 short questions that any assistant should manage, each checked by program."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from ftkit.data import Dataset
from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.probes.checks import passes
from ftkit.results.report_row import RowResult
from ftkit.task import Task

__all__ = ["CATEGORIES", "GENERAL_OUTPUT_TOKENS", "GENERAL_TASK", "general_metrics", "general_set", "passages"]

GENERAL_TASK = Task(input="{prompt}")
GENERAL_OUTPUT_TOKENS = 64
"""The questions ask for short answers."""
CATEGORIES = ("knowledge", "arithmetic", "instructions", "format", "refusal", "talk")


def general_set(limit: int | None = None) -> Dataset:
    """The questions; with ``limit`` that many at most, spread over the categories.

    The wanted answer of a row is its check. The small set is the beginning of each category, not a random draw, so that
    two reports of the same limit can be paired.
    """
    path = Path(str(files("ftkit.evaluation.probes") / "general.jsonl"))
    whole = Dataset.load(path, GENERAL_TASK, target="check", id="id")
    if limit is None or limit >= len(whole):
        return whole
    places: dict[str, list[int]] = {name: [] for name in CATEGORIES}
    for index, row in enumerate(whole):
        places[row.columns["category"]].append(index)
    kept: set[int] = set()
    for depth in range(len(whole)):
        for name in CATEGORIES:
            if depth < len(places[name]) and len(kept) < limit:
                kept.add(places[name][depth])
    ids = {whole[index].id for index in kept}
    return whole.filter(lambda row: row.id in ids)


def general_metrics() -> tuple[RowMetric, ...]:
    """``passed`` over all questions, and by category."""

    def of(category: str) -> Callable[[RowResult], bool | None]:
        return lambda row: _passed(row) if row.id.startswith(category) else None

    every = RowMetric(name="passed", description="general questions answered well enough, by program", score=_passed)
    parts = [
        RowMetric(name=f"passed:{name}", description=f"of the questions on {name}", score=of(name))
        for name in CATEGORIES
    ]
    return (every, *parts)


def passages() -> tuple[str, ...]:
    """Short pieces of plain prose, to see how surprising a model finds ordinary text."""
    text = (files("ftkit.evaluation.probes") / "passages.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def _passed(row: RowResult) -> bool:
    return row.finish_reason != "error" and passes(row.target, row.text)
