"""Cost of answers: prices with source and date, cost per row and per right answer, break-even of two models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import Field, model_validator

from ftkit.catalog import InferencePrice, load_catalog
from ftkit.counts import counted
from ftkit.errors import ConfigError
from ftkit.evaluation.provenance import training_cost
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.resources import BreakEven, Cost
from ftkit.results.row_failure import is_right
from ftkit.schema import DeclaredModel

__all__ = ["Prices", "break_even", "cost_of", "gpu_price", "right_answers"]


_GIVEN = "given by the caller"


class Prices(DeclaredModel):
    """Prices of a model in US dollars, with their source.

    Give prices per million tokens (``input_usd`` and ``output_usd``), or per hour of the machine (``gpu_hour_usd``).
    """

    input_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="per million input tokens")
    output_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="per million output tokens")
    cached_input_usd: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="per million cached input tokens; as input_usd by default"
    )
    gpu_hour_usd: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="per hour of the machine that answers"
    )
    source: str = Field(min_length=1, description="where the prices are published, e.g. a URL")
    as_of: date = Field(description="the date on which they were read")

    @model_validator(mode="after")
    def _one_kind(self) -> Prices:
        by_token = self.input_usd is not None and self.output_usd is not None
        if by_token == (self.gpu_hour_usd is not None):
            raise ValueError("give input_usd and output_usd, or gpu_hour_usd")
        return self


def gpu_price(gpu: str) -> Prices:
    """Look up the price of a GPU in the catalogue.

    Args:
        gpu: id of the GPU, e.g. ``"l4-24gb"``.

    Returns:
        The price per hour, with source and date.

    Raises:
        ConfigError: the catalogue does not have the GPU.
    """
    known = load_catalog()
    row = known.gpu(gpu)
    if row is None:
        raise ConfigError(f'no GPU "{gpu}" in the catalogue; it has {", ".join(each.id for each in known.gpus)}')
    name = " ".join(filter(None, (row.name, row.note)))
    return Prices(gpu_hour_usd=row.per_hour, source=f"{name}: {row.source}", as_of=row.as_of)


def cost_of(
    rows: Sequence[RowResult],
    primary: str,
    higher_is_better: bool,
    wall_s: float,
    *,
    model: str,
    about: Mapping[str, Any],
    prices: Prices | None,
    gpu_hour_usd: float | None,
    training_usd: float | None,
    batch: bool,
) -> Cost:
    """Compute the cost of all answers: by given prices, else by the hour, else as the backend priced each answer.

    Args:
        rows: scored rows.
        primary: name of the headline metric, which decides which answers are right.
        higher_is_better: which direction of that metric is good.
        wall_s: seconds from the first request to the last answer.
        model: the model's name.
        about: the model's description, which names the catalogue's price that the backend used.
        prices: prices given by the user.
        gpu_hour_usd: price of an hour of the machine, in US dollars.
        training_usd: cost of training; by default what the run that trained the model recorded.
        batch: whether the answers came from a batch API.

    Returns:
        The cost and its source.
    """
    answers = [answer for row in rows for answer in row.answers]
    answered = [answer for answer in answers if answer.finish_reason != "error"]
    priced = [answer.cost_usd for answer in answers if answer.cost_usd is not None]  # refusals are charged as well
    unpriced = sum(answer.cost_usd is None for answer in answered)
    listed = None
    hourly = gpu_hour_usd if prices is None else prices.gpu_hour_usd
    total: float | None = None
    if hourly is not None:
        total, source = wall_s / 3600 * hourly, f"time taken at ${hourly:g} an hour"
    elif prices is not None and (uncounted := sum(answer.input_tokens == 0 for answer in answered)):
        source = f"{uncounted} of {counted(len(answered), 'answer')} came without their numbers of tokens"
    elif prices is not None:
        total, source = sum(_by_token(answer, prices) for answer in answers), _token_prices(prices)
    elif not answered:
        source = "no row was answered"
    elif not priced:
        source = "no price is known for this model" + (f" at {about['host']}" if about.get("host") else "")
        source += "; pass prices=, for a machine of your own gpu= or gpu_hour_usd="
    elif unpriced:
        source = f"{unpriced} of {counted(len(answered), 'answer')} came without a price"
    else:
        listed = _listed(about, "batch_price" if batch else "price")
        total, source = sum(priced), "summed over the answers, as the backend priced them"
        if listed is not None:
            source = _token_prices(listed) + (", through the batch API" if batch else "")
    used = prices or listed
    price_source = _GIVEN if used is None else f"{used.source}, {used.as_of.isoformat()}"
    if used is not None or hourly is not None:
        source = f"{source} ({price_source})"
    training = training_cost(model, hourly, price_source) if training_usd is None else (training_usd, _GIVEN)
    right = sum(right_answers(row, primary, higher_is_better=higher_is_better) for row in rows)
    return Cost(
        total_usd=total,
        per_1000_usd=None if total is None or not answered else total / len(answered) * len(answers) / len(rows) * 1000,
        per_success_usd=None if total is None or right == 0 else total / right,
        failed_share=1 - len(answered) / len(answers) if answers else 0.0,
        source=source,
        as_of=None if used is None else used.as_of,
        training_usd=None if training is None else training[0],
        training_source=None if training is None else training[1],
    )


def right_answers(row: RowResult, primary: str, *, higher_is_better: bool = True) -> int:
    """Count the right answers to a row.

    Args:
        row: a scored row.
        primary: name of the metric that decides; an answer is right if its score reaches 1, or 0 of an error.
        higher_is_better: which direction of that metric is good.

    Returns:
        Number of right answers, at most the number of samples.
    """
    mean = row.scores.get(primary)
    if mean is None:
        return 0
    others = [score for answer in row.others if (score := answer.scores.get(primary)) is not None]
    first = mean * (1 + len(others)) - sum(others)  # the row's score is the mean over the scored answers
    return sum(is_right(score, higher_is_better=higher_is_better) for score in (first, *others))


def _by_token(answer: RowResult, prices: Prices) -> float:
    input_usd, output_usd = prices.input_usd or 0.0, prices.output_usd or 0.0
    cached_usd = input_usd if prices.cached_input_usd is None else prices.cached_input_usd
    fresh = answer.input_tokens - answer.cached_tokens
    return (fresh * input_usd + answer.cached_tokens * cached_usd + answer.output_tokens * output_usd) / 1e6


def _listed(about: Mapping[str, Any], which: str) -> Prices | None:
    """The catalogue's price that a hosted backend says it used."""
    if not about.get(which):
        return None
    row = InferencePrice.model_validate(about[which])
    return Prices(
        input_usd=row.input,
        cached_input_usd=row.cached_input,
        output_usd=row.output,
        source=row.source,
        as_of=row.as_of,
    )


def _token_prices(prices: Prices) -> str:
    cached = "" if prices.cached_input_usd is None else f" (${prices.cached_input_usd:g} cached)"
    return f"tokens at ${prices.input_usd:g} in{cached} and ${prices.output_usd:g} out per million"


def break_even(before: Report, after: Report) -> BreakEven | None:
    """Compute after how many predictions the second model's training has paid off.

    The training cost of the first model is spent already, so it does not count.

    Args:
        before: the report of the first model.
        after: the report of the second model.

    Returns:
        The break-even; None if a price or the training cost of the second model is not known.
    """
    old, new, training = before.cost.per_1000_usd, after.cost.per_1000_usd, after.cost.training_usd
    if old is None or new is None or training is None:
        return None
    saved = old - new
    return BreakEven(
        training_usd=training,
        saved_per_1000_usd=saved,
        predictions=math.ceil(training / saved * 1000 - 1e-6) if saved > 0 else None,
    )
