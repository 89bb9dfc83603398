"""Whether the rewards of a model's answers differ, so that there is something to learn, before it is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from ftkit.graders import Grade
from ftkit.results.result import Result

__all__ = ["RewardSignal"]

_ERRORS = 0.5
"""Share of answers that could not be graded above which the rewards mean nothing."""


class RewardSignal(Result, BaseModel):
    """Rewards of several answers to each prompt of a sample."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    prompts: int
    """Prompts that were sampled."""
    generations: int
    """Answers to each."""
    reward: float
    """The mean over all answers."""
    reward_variance: float
    """The variance over all answers."""
    variance_within: float
    """The mean of the variances within groups, which is what training learns from."""
    no_signal_share: float
    """Share of groups in which all rewards are equal."""
    success_rate: float | None
    """Share of answers with a reward of 1 or more; None where rewards are no rates."""
    solved_share: float | None
    """Share of prompts with at least one such answer."""
    truncated_share: float
    """Share of answers that reached the limit of tokens."""
    error_rate: float
    """Share of answers that could not be graded."""
    errors: dict[str, int]
    """Their number by reason."""
    first_error: str | None
    """The message of the first of them."""

    @classmethod
    def of(cls, groups: Sequence[Sequence[Grade]], truncated: Sequence[bool], *, rates: bool) -> RewardSignal:
        """Summarise groups of grades.

        Args:
            groups: the grades of each prompt's answers.
            truncated: for each answer, whether it reached the limit of tokens.
            rates: whether a reward of 1 is full success.

        Returns:
            The summary.
        """
        grades = [grade for group in groups for grade in group]
        rewards = [[grade.reward for grade in group] for group in groups]
        every = [reward for group in rewards for reward in group]
        failed = [grade for grade in grades if grade.error is not None]
        return cls(
            prompts=len(groups),
            generations=len(groups[0]),
            reward=sum(every) / len(every),
            reward_variance=_variance(every),
            variance_within=sum(map(_variance, rewards)) / len(rewards),
            no_signal_share=sum(max(group) == min(group) for group in rewards) / len(rewards),
            success_rate=sum(reward >= 1 for reward in every) / len(every) if rates else None,
            solved_share=sum(max(group) >= 1 for group in rewards) / len(rewards) if rates else None,
            truncated_share=sum(truncated) / len(truncated),
            error_rate=len(failed) / len(grades),
            errors=dict(Counter(str(grade.error) for grade in failed)),
            first_error=next((grade.detail for grade in failed), None),
        )

    def __str__(self) -> str:
        lines = [
            f"{self.prompts} prompts, {self.generations} answers to each",
            f"reward          {self.reward:.3f}, variance {self.reward_variance:.4f}, {self.variance_within:.4f} of it "
            "within groups",
            f"no signal       {self.no_signal_share:.0%} of groups have equal rewards",
        ]
        if self.success_rate is not None:
            lines.append(
                f"success         {self.success_rate:.0%} of answers, at least one in {self.solved_share:.0%} of groups"
            )
        lines.append(f"truncated       {self.truncated_share:.0%} of answers")
        reasons = ", ".join(f"{count} {name}" for name, count in self.errors.items())
        lines.append(f"grader errors   {self.error_rate:.0%} of answers{f' ({reasons})' if reasons else ''}")
        return "\n".join(lines)

    def problem(self, *, masks_truncated: bool = False) -> str | None:
        """Say why nothing could be learned.

        Args:
            masks_truncated: whether truncated answers are masked in the loss.

        Returns:
            The reason, or None.
        """
        sample = f"of {self.generations} answers to each of {self.prompts} prompts"
        if self.error_rate >= _ERRORS:
            return f"{sample}, {self.error_rate:.0%} could not be graded; the first: {self.first_error}"
        if masks_truncated and self.truncated_share == 1:
            return (
                f"{sample}, none ended within max_output_tokens, and truncated ones are masked. Raise the limit, or "
                "set mask_truncated_completions=False"
            )
        if self.no_signal_share < 1:
            return None
        if self.success_rate == 1:
            return (
                f"{sample}, every one has the full reward already, so there is nothing to improve; use harder prompts"
            )
        return (
            f"{sample}, those of each prompt have equal rewards (mean {self.reward:.3f}), so none is better than "
            "another. Train with SFT first, reward parts of an answer, or use easier prompts or more num_generations"
        )


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values)
