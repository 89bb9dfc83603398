"""ftkit's general set: short questions that any assistant should answer, each checked by a program."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path

from typing_extensions import override

from ftkit.data import Dataset
from ftkit.evaluation.metrics import RowMetric
from ftkit.evaluation.probes.answer_form import AnswerForm
from ftkit.evaluation.probes.checks import Outcome, read_answer
from ftkit.results.report_row import UNCLEAR, RowResult
from ftkit.task import Task

__all__ = [
    "ABILITIES",
    "CATEGORIES",
    "GENERAL_OUTPUT_TOKENS",
    "GENERAL_TASK",
    "MAX_ASKED_AGAIN",
    "PLAIN_EXAMPLES",
    "PLAIN_TASK",
    "format_metric",
    "general_metrics",
    "general_set",
    "passages",
    "plain_examples",
]

GENERAL_TASK = Task(input="{prompt}")
GENERAL_OUTPUT_TOKENS = 96
"""Longest answer; the questions ask for short ones, and a long answer must not fail because it is cut off."""
ABILITIES = ("knowledge", "arithmetic", "instructions", "constraints", "format", "talk")
"""Categories that ``passed`` counts."""
CATEGORIES = (*ABILITIES, "harmful", "harmless")
"""All categories. Refusals of harmful and of harmless requests are counted apart."""

PLAIN_TASK = Task(
    input="Answer this request itself, in the form that it asks for, or else in plain words. It has nothing to do with "
    "any other task, so do not use the format of another task.\n\n{prompt}"
)
"""How a question is asked again whose answer came in the task's format."""
MAX_ASKED_AGAIN = 60
"""Largest number of questions that are asked again because they were answered in the task's format."""
PLAIN_EXAMPLES = 2
"""Number of examples before a question that is asked again."""


@dataclass(frozen=True, kw_only=True)
class _ReadMetric(RowMetric):
    """The share of answers that are right. What a program cannot read with certainty counts as wrong, and is marked."""

    outcome: Callable[[RowResult], Outcome | None]

    @override
    def scores(self, rows: Sequence[RowResult]) -> list[float | None]:
        found = [self.outcome(row) for row in rows]
        return [None if each is None else float(each == "right") for each in found]

    @override
    def failures(self, rows: Sequence[RowResult]) -> list[str | None]:
        reason = f"{UNCLEAR}: a program cannot tell whether this answer is right; read it"
        return [reason if self.outcome(row) == "unclear" else None for row in rows]

    @override
    def row_score(self, row: RowResult) -> float | None:
        return self.scores([row])[0]


def general_set(limit: int | None = None) -> Dataset:
    """Load the questions.

    A limited set takes as many questions of each category, as far as there are. Within a category they are ordered by a
    hash of their id, so that a few of them are like all, and two reports with the same limit can be paired.

    Args:
        limit: largest number of questions; all by default.

    Returns:
        The questions. The target of a row is its check; see :mod:`ftkit.evaluation.probes.checks`.
    """
    questions = Dataset.load(_path("general.jsonl"), GENERAL_TASK, target="check", id="id")
    if limit is None or limit >= len(questions):
        return questions
    by_category: dict[str, list[str]] = {name: [] for name in CATEGORIES}
    for row in questions:
        by_category[_category(row.id)].append(row.id)
    spread = [sorted(ids, key=_order) for ids in by_category.values()]
    interleaved = [row_id for ids in zip_longest(*spread) for row_id in ids if row_id is not None]
    chosen = set(interleaved[:limit])
    return questions.filter(lambda row: row.id in chosen)


def general_metrics(form: AnswerForm | None = None) -> tuple[RowMetric, ...]:
    """Make the metrics of the general set.

    Args:
        form: the form of the task's answers, if it has one.

    Returns:
        ``passed`` over all questions on abilities, ``passed:<category>``, ``harmful_refused``, ``harmless_refused``
        and, with a form, ``task_format``.
    """
    metrics: list[RowMetric] = [
        _ReadMetric(
            name="passed",
            description="general questions answered well enough, by program",
            outcome=_reading(ABILITIES),
        ),
        *(
            _ReadMetric(name=f"passed:{name}", description=f"of the questions on {name}", outcome=_reading((name,)))
            for name in ABILITIES
        ),
        _ReadMetric(
            name="harmful_refused",
            description="harmful requests that are refused, without steps that follow",
            outcome=_reading(("harmful",)),
        ),
        _ReadMetric(
            name="harmless_refused",
            description="harmless requests that are refused",
            higher_is_better=False,
            outcome=_reading(("harmless",), check="declines:"),
        ),
    ]
    if form is not None:
        metrics.append(format_metric(form, lambda row: _passed(row) and _asks_for(row, form)))
    return tuple(metrics)


def format_metric(form: AnswerForm, is_asked_for: Callable[[RowResult], bool]) -> RowMetric:
    """Make the metric ``task_format``: answers in the task's format to questions that do not ask for it.

    Args:
        form: the form of the task's answers.
        is_asked_for: whether an answer is right and its question may ask for this form.

    Returns:
        The metric.
    """
    return RowMetric(
        name="task_format",
        description=f"questions answered in {form.name}",
        higher_is_better=False,
        score=lambda row: form.has(row.text) and not is_asked_for(row),
    )


def plain_examples() -> Dataset:
    """Load questions with plain answers, to put before questions that are asked again.

    Returns:
        The examples, with :data:`PLAIN_TASK`.
    """
    return Dataset.load(_path("plain_examples.jsonl"), PLAIN_TASK, target="answer", id="id")


def passages() -> tuple[str, ...]:
    """Load short passages of prose, on which the loss of a model is measured.

    Returns:
        The passages.
    """
    text = _path("passages.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def _path(name: str) -> Path:
    return Path(str(files("ftkit.evaluation.probes") / name))


def _category(row_id: str) -> str:
    return row_id.rpartition("-")[0]


@cache
def _order(row_id: str) -> str:
    return hashlib.sha256(row_id.encode()).hexdigest()


def _asks_for(row: RowResult, form: AnswerForm) -> bool:
    """Whether a question may ask for an answer that has the form: JSON, or a word that is one of the choices."""
    return not form.keys or _category(row.id) == "format"


def _passed(row: RowResult) -> bool:
    return _outcome(row, row.target) == "right"


def _reading(categories: tuple[str, ...], check: str | None = None) -> Callable[[RowResult], Outcome | None]:
    """What the answers of some categories are, by their own check or by one for all; None for other rows."""
    return lambda row: _outcome(row, check or row.target) if _category(row.id) in categories else None


def _outcome(row: RowResult, check: str) -> Outcome:
    return "wrong" if row.finish_reason == "error" else _read(check, row.text, _questions().get(row.id, ""))


@lru_cache(maxsize=4096)
def _read(check: str, text: str, question: str) -> Outcome:
    """Read an answer; several metrics read the same one."""
    return read_answer(check, text, question)


@cache
def _questions() -> dict[str, str]:
    return {row.id: str(row.prompt[-1]["content"]) for row in general_set()}
