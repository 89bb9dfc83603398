"""Grading answers that are there already: what a grader says, before a model is trained by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.backends import Answer
from ftkit.backends.grading import grading_setting
from ftkit.data import Dataset
from ftkit.errors import ConfigError, ModelError
from ftkit.graders import Grade, Grader, Isolation, Limits, Sample
from ftkit.task import Message

__all__ = ["Grades", "grade"]


@dataclass(frozen=True)
class Grades(Sequence[Grade]):
    """The grades of some answers, in their order."""

    grades: tuple[Grade, ...]

    def __len__(self) -> int:
        return len(self.grades)

    def __getitem__(self, at: Any) -> Any:
        return self.grades[at]

    @property
    def mean(self) -> float:
        """Mean reward; answers that could not be graded count 0."""
        return sum(one.reward for one in self.grades) / len(self.grades)

    @property
    def errors(self) -> dict[str, int]:
        """How many answers could not be graded (in full), by the reason."""
        return dict(Counter(one.error for one in self.grades if one.error is not None).most_common())

    @property
    def parts(self) -> dict[str, float]:
        """Mean of each part over the answers that have it."""
        names = dict.fromkeys(name for one in self.grades for name in one.parts)
        having = {name: [one.parts[name] for one in self.grades if name in one.parts] for name in names}
        return {name: sum(found) / len(found) for name, found in having.items()}

    def __str__(self) -> str:
        rewards = [one.reward for one in self.grades]
        lines = [f"mean {self.mean:.4g} over {len(self)} answers, from {min(rewards):.4g} to {max(rewards):.4g}"]
        lines += [f"  {name}: {value:.4g}" for name, value in self.parts.items()]
        for error, count in self.errors.items():
            first = next(one.detail for one in self.grades if one.error == error)
            lines.append(f"  {error} in {count} of {len(self)} answers; first: {first}")
        return "\n".join(lines)


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
    """Grade answers without asking a model: to try a grader out before anything is trained by it.

        print(ft.grade(grader, [{"wanted": "4"}, {"wanted": "6"}], ["4", "5"]))

    Args:
        grader: any.
        data: the rows, or plain mappings of what ``{{item.…}}`` reads.
        answers: one for each row: texts, or answers of a model with the tools that they called.
        allow_python: let ``python`` graders run, in a sandbox.
        isolation: how they are kept apart.
        limits: what they may use; OpenAI's limits when left out.
        embedder: the model that embeds texts for ``cosine``: ``"openai:text-embedding-3-large"``, ``"local:NAME"``.

    Raises:
        ConfigError: not one answer a row; or what the grader needs is not here or not allowed.
        ModelError: one of the answers says that the model could not be asked.
    """
    if isinstance(data, Dataset):
        items: list[tuple[Mapping[str, Any], Any]] = [(row.item, tuple(row.prompt)) for row in data]
    else:
        items = [(item, ()) for item in data]
    if not items or len(items) != len(answers):
        raise ConfigError(f"there are {len(items)} rows and {len(answers)} answers; give one answer for each row")
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
