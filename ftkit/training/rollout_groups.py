"""Completions that the model in training has sampled, with their grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftkit.graders import Grade
from ftkit.modeling.tokenized_example import Ints

__all__ = ["Completion", "RolloutGroup", "SampledTokens", "group_rewards", "repetition", "rollout_metrics"]

_NGRAM = 4
"""Length of the token n-grams whose repetition is measured."""


class SampledTokens(NamedTuple):
    """The tokens of one completion.

    Attributes:
        ids: the new tokens, the end of turn included if the model wrote it.
        logprobs: log-probability of each of them at the sampling temperature.
        stopped: whether the model ended its turn; otherwise the token limit did.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    stopped: bool


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion.

    Attributes:
        tokens: its tokens.
        text: all that the model wrote, its tool calls as it wrote them.
        grade: its reward.
    """

    tokens: SampledTokens
    text: str
    grade: Grade


@dataclass(frozen=True, slots=True)
class RolloutGroup:
    """The completions of one prompt.

    Attributes:
        row: the number of the row in the dataset.
        prompt: the prompt's tokens.
        completions: the same number for every group of a batch.
    """

    row: int
    prompt: Ints
    completions: tuple[Completion, ...]

    @property
    def rewards(self) -> list[float]:
        """The reward of each completion."""
        return [completion.grade.reward for completion in self.completions]

    @property
    def has_signal(self) -> bool:
        """Whether the rewards differ, so that there is something to learn."""
        return max(self.rewards) > min(self.rewards)


def group_rewards(groups: Sequence[RolloutGroup]) -> NDArray[np.float64]:
    """Collect the rewards of groups.

    Args:
        groups: of equal size.

    Returns:
        Rewards ``[groups, completions per group]``.
    """
    return np.array([group.rewards for group in groups], dtype=np.float64)


def rollout_metrics(groups: Sequence[RolloutGroup]) -> dict[str, Any]:
    """Summarise a batch of completions.

    Args:
        groups: the batch.

    Returns:
        ``answers``, their number; ``reward`` and ``reward_std`` over all of them; ``reward_parts``, the mean of each
        part of the grader; ``no_signal_share``, the share of groups with equal rewards; ``completion_length``, the mean
        in tokens; ``truncated_share`` of completions; ``repetition``, the mean of :func:`repetition`;
        ``grader_errors``, the number of each kind.
    """
    completions = [completion for group in groups for completion in group.completions]
    count = len(completions)
    rewards = group_rewards(groups)
    errors = Counter(each.grade.error for each in completions if each.grade.error is not None)
    return {
        "answers": count,
        "reward": float(rewards.mean()),
        "reward_std": float(rewards.std()),
        "reward_parts": _mean_parts([each.grade.parts for each in completions]),
        "no_signal_share": sum(not group.has_signal for group in groups) / len(groups),
        "completion_length": sum(len(each.tokens.ids) for each in completions) / count,
        "truncated_share": sum(not each.tokens.stopped for each in completions) / count,
        "repetition": sum(repetition(each.tokens.ids) for each in completions) / count,
        "grader_errors": {str(name): number for name, number in errors.items()},
    }


def repetition(ids: Sequence[int]) -> float:
    """Compute the share of a completion's 4-grams of tokens that occurred before in it.

    Args:
        ids: its tokens.

    Returns:
        The share, 0 to 1.
    """
    ngrams = [tuple(ids[start : start + _NGRAM]) for start in range(len(ids) - _NGRAM + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def _mean_parts(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for of_completion in parts:
        for name, value in of_completion.items():
            values.setdefault(name, []).append(value)
    return {name: sum(of_part) / len(of_part) for name, of_part in values.items()}
