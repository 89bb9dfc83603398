"""What probes measured: drift from the base model, losses on plain prose, overfitting."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from ftkit.results.metric_result import MetricResult
from ftkit.results.number_format import change_text, count_text, value_text

__all__ = ["BaseDrift", "Gap", "Overfitting", "TextChange", "TextLosses"]

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

    def __str__(self) -> str:
        factor = math.exp(self.difference)
        return (
            f"loss on plain prose {change_text(self.difference, 'number')} nats per token "
            f"({change_text(self.low, 'number')} to {change_text(self.high, 'number')}), perplexity × {factor:.2f}"
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
        """Whether the whole interval is above :data:`GAP_LIMIT`."""
        return self.low > GAP_LIMIT

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
