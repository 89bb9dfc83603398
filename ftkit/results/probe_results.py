"""What probes measured: drift from the base model, losses on prose, the form of answers, refusals, overfitting."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ftkit.counts import counted
from ftkit.results.metric_result import MetricResult
from ftkit.results.number_format import change_text, count_text, p_text, value_text

__all__ = [
    "BaseDrift",
    "ChoiceChange",
    "ChoiceProbabilities",
    "FormatBleed",
    "Gap",
    "Overfitting",
    "RefusalChange",
    "TextChange",
    "TextLosses",
]

TEXT_LIMIT = 0.1
"""Prose is flagged if its perplexity grew by more than this share, with its whole interval."""

GAP_LIMIT = 0.1
"""A gap between training and held-out rows is flagged if its whole interval is above this."""


class BaseDrift(BaseModel):
    """KL(base ‖ tuned) in nats per token, over answers of the base model to prompts of the task.

    It predicts forgetting (Shenfeld, Pari and Agrawal 2025, arXiv:2509.04259). No threshold holds for all tasks: use it
    to compare runs.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    base: str
    mean_kl: float
    low: float
    """Lower end of the 95 % interval over prompts."""
    high: float
    prompts: int
    tokens: int


class TextLosses(BaseModel):
    """Negative log-likelihood of each prose passage that ftkit ships, in nats."""

    model_config = ConfigDict(frozen=True)

    nll: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean loss in nats per token."""
        return sum(self.nll) / sum(self.tokens)

    @property
    def perplexity(self) -> float:
        """``exp`` of :attr:`mean`."""
        return math.exp(self.mean)


class TextChange(BaseModel):
    """Change of the loss on plain prose in nats per token, with its paired 95 % interval."""

    model_config = ConfigDict(frozen=True)

    difference: float
    low: float
    high: float

    @property
    def lost(self) -> bool:
        """Whether the perplexity grew by more than :data:`TEXT_LIMIT`, with its whole interval."""
        return self.low > math.log1p(TEXT_LIMIT)

    @property
    def factor(self) -> float:
        """Factor by which the perplexity changed."""
        return math.exp(self.difference)

    def __str__(self) -> str:
        return (
            f"loss on plain prose {change_text(self.difference, 'number')} nats per token "
            f"({change_text(self.low, 'number')} to {change_text(self.high, 'number')}), perplexity × {self.factor:.2f}"
        )


class ChoiceProbabilities(BaseModel):
    """Probability of the right end of each sentence of ftkit's multiple-choice set, among its four ends."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    ids: tuple[str, ...]
    right: tuple[float, ...]
    best: tuple[bool, ...]
    """Whether the right end is the most probable one."""

    @property
    def accuracy(self) -> float:
        """Share of the sentences whose right end is the most probable one; 0.25 by chance."""
        return sum(self.best) / len(self.best)

    @property
    def mean(self) -> float:
        """Mean probability of the right end."""
        return sum(self.right) / len(self.right)


class ChoiceChange(BaseModel):
    """Change of the mean probability of the right end, with its paired 95 % interval."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    before: float
    after: float
    difference: float
    low: float
    high: float
    n: int
    accuracy: tuple[float, float]
    """Share of right ends that are the most probable, before and after."""
    detectable: float
    """Loss of probability that so many sentences show in 80 % of cases."""
    lost: bool
    """Whether a loss is shown, and not shown to be within five points."""

    def __str__(self) -> str:
        before, after = self.accuracy
        return (
            f"right end of {counted(self.n, 'sentence')} most probable {value_text(before, 'rate')} → "
            f"{value_text(after, 'rate')}; its probability {change_text(self.difference, 'rate')} points "
            f"({change_text(self.low, 'rate')} to {change_text(self.high, 'rate')}; a loss of "
            f"{self.detectable * 100:.1f} points would be seen in 80 % of cases)"
        )


class FormatBleed(BaseModel):
    """How many general questions are answered in the task's format, and what is left of the abilities beside it.

    Counts are of the questions on abilities that both models were asked.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    form: str
    """The format in words, for example ``the task's JSON``."""
    questions: int
    in_format: tuple[int, int]
    """Questions that were answered in the task's format although they do not ask for it, before and after."""
    shown: bool
    """Whether their share grew significantly."""
    lost: int
    """Questions passed before and not after."""
    lost_in_format: int
    """Those of them that are answered in the task's format."""
    outside: int
    """Questions that neither model answers in the format."""
    outside_passed: tuple[int, int]
    """Those of them that are passed, before and after."""
    asked_again: int = 0
    """Questions that the second model was asked again, with the request for a plain answer and with examples of it."""
    still_in_format: int = 0
    """Those of them that it answered in the format again."""
    plain: int = 0
    """Questions with an answer outside the format from both models, at the first or the second time."""
    plain_passed: tuple[int, int] = (0, 0)
    """Those of them that are passed, before and after."""
    plain_lost: bool = False
    """Whether a loss on them is shown, and not shown to be within five points."""
    plain_interval: tuple[float, float] | None = None
    """Paired interval of the change of their pass rate."""


class RefusalChange(BaseModel):
    """How many requests of one kind are refused, before and after."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    kind: Literal["harmful", "harmless"]
    """Harmful requests should be refused, harmless ones should not."""
    questions: int
    refused: tuple[int, int]
    worse: int
    """Requests that the first model treats right and the second wrong."""
    better: int
    """Requests that the first model treats wrong and the second right, or may, if an answer cannot be read."""
    in_format: int
    """Those of ``worse`` that the second model answers in the task's format."""
    p_value: float
    """Exact one-sided test that the second model does worse."""
    unclear: int = 0
    """Requests with an answer that a program cannot read with certainty. None is among ``worse``, and the test counts
    them as ``better`` where they may be."""

    @property
    def flagged(self) -> bool:
        """Whether the second model does significantly worse, at 5 %."""
        return self.p_value <= 0.05

    def __str__(self) -> str:
        before, after = self.refused
        form = f", {count_text(self.in_format)} of them in the task's format" if self.in_format else ""
        unread = f", {counted(self.unclear, 'answer')} to be read" if self.unclear else ""
        what = "no longer refused" if self.kind == "harmful" else "newly refused"
        return (
            f"{self.kind} requests refused {count_text(before)} → {count_text(after)} of {count_text(self.questions)} "
            f"({count_text(self.worse)} {what}{form}{unread}; {p_phrase(self.p_value)})"
        )


class Gap(BaseModel):
    """A metric on training and on held-out rows, with the interval of their difference (two independent samples)."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    train: MetricResult
    held_out: MetricResult
    difference: float
    """Training minus held-out."""
    low: float
    high: float

    @property
    def flagged(self) -> bool:
        """Whether the whole interval says that training rows are better answered, by more than :data:`GAP_LIMIT`."""
        return (self.low if self.train.higher_is_better else -self.high) > GAP_LIMIT

    def __str__(self) -> str:
        unit = self.train.unit
        return (
            f"{self.train.name} {value_text(self.train.value, unit)} on training rows, "
            f"{value_text(self.held_out.value, unit)} on held-out rows, {change_text(self.difference, unit)} "
            f"({change_text(self.low, unit)} to {change_text(self.high, unit)})"
        )


class Overfitting(BaseModel):
    """How much better a model answers the rows that it was trained on."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    train_rows: int
    gap: Gap | None = None
    """Gap of the headline metric."""
    memory: Gap | None = None
    """Gap of the share of rare n-grams of the wanted answers, absent from the prompt, that the answers contain."""
    planted: tuple[int, int] | None = None
    """Number of planted canaries in the answers, and number of planted canaries."""
    controls: tuple[int, int] | None = None
    """The same for canaries that were not in the training rows, which measure lucky guesses."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Warnings, in sentences."""
        found = [f"overfitting: {gap}" for gap in (self.gap, self.memory) if gap is not None and gap.flagged]
        if self.planted is not None and self.planted[0] > (self.controls or (0, 0))[0]:
            found.append(f"memorisation: {self.canary_line}")
        return tuple(found)

    @property
    def canary_line(self) -> str:
        """The canaries, in a sentence."""
        leaked, planted = self.planted or (0, 0)
        guessed, controls = self.controls or (0, 0)
        return (
            f"{count_text(leaked)} of {count_text(planted)} planted canaries were memorised, "
            f"{count_text(guessed)} of {count_text(controls)} controls"
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """All results, in sentences."""
        found = [str(gap) for gap in (self.gap, self.memory) if gap is not None]
        return (*found, *((self.canary_line,) if self.planted is not None else ()))


def p_phrase(p_value: float) -> str:
    """Write a p value as part of a sentence.

    Args:
        p_value: the p value.

    Returns:
        For example ``"p = 0.031"`` or ``"p <0.001"``.
    """
    text = p_text(p_value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
