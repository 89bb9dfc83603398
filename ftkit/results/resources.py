"""What evaluation and training took: tokens, time, money, and the losses of training."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict

__all__ = ["BreakEven", "Cost", "Timing", "TrainingCurve", "Usage"]


class Usage(BaseModel):
    """Tokens of all rows together."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """How many of the input tokens were not computed again."""


class Timing(BaseModel):
    """How long it took. Times in seconds."""

    model_config = ConfigDict(frozen=True)

    wall_s: float
    """From the first request to the last answer."""
    latency_p50_s: float | None
    """Median over the rows that were answered; ``None`` when none was."""
    latency_p95_s: float | None
    output_tokens_per_s: float | None
    """All output tokens over ``wall_s``."""


class Cost(BaseModel):
    """What the answers cost, in US dollars; all ``None`` when that is not known."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    total_usd: float | None
    per_1000_usd: float | None
    """A thousand predictions like these."""
    per_success_usd: float | None
    """Total over the answers that are right by the headline metric; ``None`` when none is."""
    source: str
    """Where the price comes from, or why there is none."""
    as_of: date | None = None
    """Date of the price."""
    training_usd: float | None = None
    """What making the model cost; ``None`` when not known."""
    training_source: str | None = None
    """How that is known, with source and date of the price."""


class BreakEven(BaseModel):
    """From how many predictions on the second model is cheaper, its training paid."""

    model_config = ConfigDict(frozen=True)

    training_usd: float
    saved_per_1000_usd: float
    predictions: int | None
    """``None`` when it never is: a prediction costs as much or more than with the first."""


class TrainingCurve(BaseModel):
    """Loss by step."""

    model_config = ConfigDict(frozen=True)

    run: str
    losses: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]
