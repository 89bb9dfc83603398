"""``grade``: grade existing answers, to try out a grader before training with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.arguments import explain_calls
from ftkit.backends import Answer
from ftkit.backends.grading import grading_setting
from ftkit.counts import counted
from ftkit.data import Dataset
from ftkit.errors import ConfigError, ModelError
from ftkit.graders import Grade, Grader, Isolation, Limits, Sample
from ftkit.task import Message

__all__ = ["Grades", "grade"]


@dataclass(frozen=True)
class Grades(Sequence[Grade]):
    """The grades of answers, in their order."""

    grades: tuple[Grade, ...]

    def __len__(self) -> int:
        return len(self.grades)

    def __getitem__(self, at: Any) -> Any:
        return self.grades[at]

    @property
    def mean(self) -> float:
        """Mean reward; an answer that could not be graded counts 0."""
        return sum(grade.reward for grade in self.grades) / len(self.grades)

    @property
    def errors(self) -> dict[str, int]:
        """Number of answers that could not be graded completely, by reason."""
        return dict(Counter(grade.error for grade in self.grades if grade.error is not None).most_common())

    @property
    def parts(self) -> dict[str, float]:
        """Mean of each part, over the answers that have it."""
        names = dict.fromkeys(name for grade in self.grades for name in grade.parts)
        values = {name: [grade.parts[name] for grade in self.grades if name in grade.parts] for name in names}
        return {name: sum(each) / len(each) for name, each in values.items()}

    def __str__(self) -> str:
        rewards = [grade.reward for grade in self.grades]
        lines = [
            f"mean {self.mean:.4g} over {counted(len(self), 'answer')}, from {min(rewards):.4g} to {max(rewards):.4g}"
        ]
        lines += [f"  {name}: {value:.4g}" for name, value in self.parts.items()]
        for error, count in self.errors.items():
            first = next(grade.detail for grade in self.grades if grade.error == error)
            lines.append(f"  {error} in {count} of {counted(len(self), 'answer')}; first: {first}")
        return "\n".join(lines)


@explain_calls(instead="ft.grade(grader, data, answers)")
def grade(
    grader: Grader,
    data: Dataset | Iterable[Mapping[str, Any]],
    answers: Sequence[str | Answer | Sample],
    *,
    allow_python: bool = False,
    isolation: Isolation = "kernel",
    limits: Limits | None = None,
    embedder: str | None = None,
) -> Grades:
    """Grade answers without asking a model, to try out a grader before training with it.

    .. code-block:: python

        print(ft.grade(grader, [{"wanted": "4"}, {"wanted": "6"}], ["4", "5"]))

    Args:
        grader: the grader.
        data: the rows, or plain mappings with the columns that ``{{item.…}}`` reads.
        answers: one answer per row: texts, or answers of a model with its tool calls.
        allow_python: allow ``python`` graders to run, in a sandbox, and functions that a grader file names.
        isolation: how the sandbox isolates them.
        limits: the resources that they may use; OpenAI's limits by default.
        embedder: the model that embeds texts for ``cosine``: ``"openai:text-embedding-3-large"``, ``"local:NAME"``.

    Returns:
        One grade per answer.

    Raises:
        ConfigError: the numbers of rows and answers differ, or what the grader needs is not available or not allowed.
        ModelError: an answer is an error of its request.
    """
    if isinstance(data, Dataset):
        items: list[tuple[Mapping[str, Any], Any]] = [(row.item, tuple(row.prompt)) for row in data]
    else:
        items = [(item, ()) for item in data]
    if not items or len(items) != len(answers):
        raise ConfigError(
            f"there are {counted(len(items), 'row')} and {counted(len(answers), 'answer')}; give one answer for each "
            "row"
        )
    pairs = [(item, _sample(answer, prompt)) for (item, prompt), answer in zip(items, answers, strict=True)]
    setting = grading_setting(allow_python=allow_python, isolation=isolation, limits=limits, embedder=embedder)
    return Grades(tuple(grader.grade_many(pairs, setting)))


def _sample(answer: str | Answer | Sample, prompt: tuple[Message, ...]) -> Sample:
    if isinstance(answer, Sample):
        return answer
    if isinstance(answer, str):
        return Sample(answer, prompt=prompt)
    if answer.finish_reason == "error":
        raise ModelError(f"there is no answer to grade where the model could not be asked: {answer.error}")
    return Sample(answer.text, tuple(answer.tool_calls or ()), prompt)
