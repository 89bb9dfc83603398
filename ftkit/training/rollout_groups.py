"""Answers that the model in training has drawn, and what their grader gave for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftkit.graders import Grade
from ftkit.inference.offline import Generation
from ftkit.modeling.tokenized_example import Ints

__all__ = ["Answered", "Group", "figures_of", "repetition", "rewards_of"]

_GRAM = 4
"""Tokens in a row that must come again to count as repeated."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer; ``text`` is all that the model wrote, its tool calls as it wrote them."""

    generated: Generation
    text: str
    grade: Grade


@dataclass(frozen=True, slots=True)
class Group:
    """The answers to one prompt.

    Attributes:
        row: its number in the rows.
        prompt: its tokens.
        answers: as many for every group of a batch.
    """

    row: int
    prompt: Ints
    answers: tuple[Answered, ...]

    @property
    def rewards(self) -> list[float]:
        return [one.grade.reward for one in self.answers]

    @property
    def tells(self) -> bool:
        """Whether its rewards tell one answer from another."""
        return max(self.rewards) > min(self.rewards)


def rewards_of(groups: Sequence[Group]) -> NDArray[np.float64]:
    """The rewards [groups, answers of a group]."""
    return np.array([group.rewards for group in groups], dtype=np.float64)


def figures_of(groups: Sequence[Group]) -> dict[str, Any]:
    """What is worth knowing of a batch of answers.

    ``answers``, how many there are; ``reward`` and ``reward_std`` over all of them; ``reward_parts``, the mean of each
    part of the grader; ``no_signal_share`` of groups; ``completion_length``, the mean in tokens; ``truncated_share`` of
    answers; ``repetition``, see there; ``grader_errors``, how many of each kind.
    """
    answers = [answer for group in groups for answer in group.answers]
    rewards = rewards_of(groups)
    errors = Counter(one.grade.error for one in answers if one.grade.error is not None)
    return {
        "answers": len(answers),
        "reward": float(rewards.mean()),
        "reward_std": float(rewards.std()),
        "reward_parts": _parts([one.grade.parts for one in answers]),
        "no_signal_share": sum(not group.tells for group in groups) / len(groups),
        "completion_length": sum(len(one.generated.ids) for one in answers) / len(answers),
        "truncated_share": sum(not one.generated.stopped for one in answers) / len(answers),
        "repetition": sum(repetition(one.generated.ids) for one in answers) / len(answers),
        "grader_errors": {str(name): count for name, count in errors.items()},
    }


def repetition(ids: Sequence[int]) -> float:
    """The share of an answer's runs of four tokens that it has had before, 0 to 1."""
    grams = [tuple(ids[at : at + _GRAM]) for at in range(len(ids) - _GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _parts(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    for one in found:
        for name, value in one.items():
            sums.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sums.items()}
