"""What probes measured: drift from the base model, losses on plain prose, overfitting."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from ftkit.results.metric_result import MetricResult
from ftkit.results.number_format import change_text, count_text, value_text

__all__ = ["BaseDrift", "Gap", "Overfitting", "TextChange", "TextLosses"]

LIMIT = 0.1
"""A gap between training and held-out rows is a flag when it is above this beyond doubt."""


class BaseDrift(BaseModel):
    """KL(base ‖ tuned) on prompts of the task, in nats a token, along answers of the base.

    It foretells forgetting (Shenfeld, Pari and Agrawal 2025, arXiv:2509.04259). No threshold holds for all tasks:
    compare runs with it.
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
    """How surprising a model finds plain prose: negative log-likelihood of each passage that ftkit ships, in nats."""

    model_config = ConfigDict(frozen=True)

    nll: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Nats a token."""
        return sum(self.nll) / sum(self.tokens)

    @property
    def perplexity(self) -> float:
        """``exp`` of :attr:`mean`."""
        return math.exp(self.mean)


class TextChange(BaseModel):
    """How much more surprising plain prose became, in nats a token, with its paired 95 % interval."""

    model_config = ConfigDict(frozen=True)

    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        factor = math.exp(self.difference)
        return (
            f"loss on plain prose {change_text(self.difference, 'number')} nats a token "
            f"({change_text(self.low, 'number')} to {change_text(self.high, 'number')}), perplexity × {factor:.2f}"
        )


class Gap(BaseModel):
    """One metric on training and on held-out rows; other rows, so the interval is that of two separate samples."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    train: MetricResult
    held_out: MetricResult
    difference: float
    """Training less held-out."""
    low: float
    high: float

    @property
    def flagged(self) -> bool:
        """Whether the gap is above :data:`LIMIT` beyond doubt."""
        return self.low > LIMIT

    def __str__(self) -> str:
        unit = self.train.unit
        return (
            f"{self.train.name} {value_text(self.train.value, unit)} on training rows, "
            f"{value_text(self.held_out.value, unit)} on held-out ones, {change_text(self.difference, unit)} "
            f"({change_text(self.low, unit)} to {change_text(self.high, unit)})"
        )


class Overfitting(BaseModel):
    """How much better a model knows the rows that it was tuned on."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    train_rows: int
    gap: Gap | None = None
    """Of the headline metric."""
    memory: Gap | None = None
    """Of the share of the wanted answers' rare n-grams, not to be read off the prompt, that answers contain."""
    planted: tuple[int, int] | None = None
    """Planted canaries that were given away, of all."""
    controls: tuple[int, int] | None = None
    """The same of canaries that were never shown: what a guess is worth."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What should worry, in sentences; empty when nothing does."""
        found = [f"overfitting: {gap}" for gap in (self.gap, self.memory) if gap is not None and gap.flagged]
        if self.planted is not None and self.planted[0] > (self.controls or (0, 0))[0]:
            found.append(f"memorisation: {self.canary_line}")
        return tuple(found)

    @property
    def canary_line(self) -> str:
        """Canaries in words."""
        said, of = self.planted or (0, 0)
        guessed, controls = self.controls or (0, 0)
        return (
            f"{count_text(said)} of {count_text(of)} planted canaries were said by heart, "
            f"{count_text(guessed)} of {count_text(controls)} controls"
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything measured, in sentences."""
        found = [str(gap) for gap in (self.gap, self.memory) if gap is not None]
        return (*found, *((self.canary_line,) if self.planted is not None else ()))
