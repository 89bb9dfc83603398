"""What evaluation and training took: tokens, time, money, and the losses of training."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict

__all__ = ["BreakEven", "Cost", "ReusedAnswers", "Timing", "TrainingCurve", "Usage"]


class Usage(BaseModel):
    """Tokens of all rows."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Input tokens that came from a cache."""
    reasoning_tokens: int = 0
    """Output tokens that were reasoning."""


class Timing(BaseModel):
    """Duration of an evaluation, in seconds."""

    model_config = ConfigDict(frozen=True)

    wall_s: float
    """From the first request to the last answer."""
    latency_p50_s: float | None
    """Median over the answered rows; None if there are none."""
    latency_p95_s: float | None
    output_tokens_per_s: float | None
    """Output tokens divided by ``wall_s``."""


class ReusedAnswers(BaseModel):
    """Answers that evaluations gave which were interrupted, and that were not asked again."""

    model_config = ConfigDict(frozen=True)

    count: int
    first_at: str | None
    """When the first of them came: ISO 8601, UTC. None if it was not written."""
    last_at: str | None


class Cost(BaseModel):
    """Cost of the answers, in US dollars; None where it is unknown."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    total_usd: float | None
    per_1000_usd: float | None
    """Cost of answering 1,000 rows, with all samples of a row; rows that failed are left out."""
    failed_share: float = 0.0
    """Share of the answers that failed, which cost little and are not part of ``per_1000_usd``."""
    per_success_usd: float | None
    """Total divided by the number of correct answers; None if there are none."""
    source: str
    """Source of the price, or why there is none."""
    as_of: date | None = None
    """Date of the price."""
    training_usd: float | None = None
    """Cost of training the model; None if unknown."""
    training_source: str | None = None
    """Source of the training cost, with the date of the price."""


class BreakEven(BaseModel):
    """Number of predictions after which the second model is cheaper, training included."""

    model_config = ConfigDict(frozen=True)

    training_usd: float
    saved_per_1000_usd: float
    predictions: int | None
    """None if never: a prediction costs at least as much as with the first model."""


_TREND_TOLERANCE = 0.1
"""Share of what was gained that may be lost again by noise before the last evaluation."""


class TrainingCurve(BaseModel):
    """What a training run measured: pairs of step and value."""

    model_config = ConfigDict(frozen=True)

    run: str
    losses: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]
    """Losses of the validation rows."""
    metric: str | None = None
    """Name of the metric that the run's evaluations went by (``eval_metric``)."""
    metric_values: tuple[tuple[int, float], ...] = ()
    """That metric on the answers to the validation rows."""
    divergence: tuple[tuple[int, float], ...] = ()
    """KL(before ‖ now) on held-out rehearsal rows in nats per token (``preserve``)."""

    def held_out_trend(self, primary: str, *, higher_is_better: bool) -> str:
        """Say whether rows that were not trained on suffered as training went on.

        Args:
            primary: the headline metric of the report.
            higher_is_better: whether a larger value of it is better.

        Returns:
            A clause: from the run's own evaluations by that metric, else from its validation loss, else what would
            show it.
        """
        if self.metric == primary and len(self.metric_values) > 2:
            name, points, sign = f"{primary} on validation rows", self.metric_values, 1.0 if higher_is_better else -1.0
        elif len(self.validation) > 2:
            name, points, sign = "the validation loss", self.validation, -1.0
        else:
            return "whether held-out rows suffered is not known; ft.train(validation=…) with eval_metric would show it"
        first, last = points[0][1], points[-1][1]
        step, best = max(points, key=lambda point: (sign * point[1], point[0]))
        if abs(best - last) <= _TREND_TOLERANCE * abs(best - first):
            return (
                f"{name} went from {first:.3g} to {last:.3g} and was best at the end of training, so held-out rows did "
                "not suffer: training rows are known by heart, and more rows would help, not fewer steps"
            )
        return f"{name} was best at step {step} ({best:.3g}) and {last:.3g} at the end: fewer steps would help"
