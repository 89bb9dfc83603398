"""What answers cost: prices with source and date, cost per row and per right row, break-even between two models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from ftkit.catalog import InferencePrice, load_catalog
from ftkit.errors import ConfigError
from ftkit.evaluation.provenance import training_cost
from ftkit.results.report import RIGHT
from ftkit.results.report_row import RowResult
from ftkit.results.resources import BreakEven, Cost
from ftkit.schema import DeclaredModel

if TYPE_CHECKING:
    from ftkit.results.report import Report

__all__ = ["Prices", "break_even", "cost_of", "gpu_price", "right_answers"]


_GIVEN = "given by the caller"


class Prices(DeclaredModel):
    """What a model costs, in US dollars, and who says so.

    Either per million tokens (``input_usd`` and ``output_usd``) or per hour of the machine (``gpu_hour_usd``).
    """

    input_usd: float | None = Field(default=None, ge=0, description="per million input tokens")
    output_usd: float | None = Field(default=None, ge=0, description="per million output tokens")
    cached_input_usd: float | None = Field(
        default=None, ge=0, description="per million input tokens that were cached; as input_usd when left out"
    )
    gpu_hour_usd: float | None = Field(default=None, ge=0, description="per hour of the machine that answers")
    source: str = Field(min_length=1, description="where the prices stand, e.g. the address of the page")
    as_of: date = Field(description="when they were read there")

    @model_validator(mode="after")
    def _one_kind(self) -> Prices:
        by_token = self.input_usd is not None and self.output_usd is not None
        if by_token == (self.gpu_hour_usd is not None):
            raise ValueError("give input_usd and output_usd, or gpu_hour_usd")
        return self


def gpu_price(gpu: str) -> Prices:
    """The catalogue's price of an hour of that GPU.

    Raises:
        ConfigError: the catalogue does not have it.
    """
    known = load_catalog()
    row = known.gpu(gpu)
    if row is None:
        raise ConfigError(f'no GPU "{gpu}" in the catalogue; it has {", ".join(one.id for one in known.gpus)}')
    where = " ".join(filter(None, (row.name, row.note)))
    return Prices(gpu_hour_usd=row.per_hour, source=f"{where}: {row.source}", as_of=row.as_of)


def cost_of(
    rows: Sequence[RowResult],
    primary: str,
    wall_s: float,
    *,
    model: str,
    about: Mapping[str, Any],
    prices: Prices | None,
    gpu_hour_usd: float | None,
    training_usd: float | None,
    batch: bool,
) -> Cost:
    """The cost of all answers: by ``prices``, else by the hour, else as the backend priced each answer.

    What an answer cost is counted once: ``about`` only tells by which of the catalogue's prices.
    """
    answers = [answer for row in rows for answer in row.answers]
    answered = [answer for answer in answers if answer.finish_reason != "error"]
    priced = [answer.cost_usd for answer in answers if answer.cost_usd is not None]  # refusals are charged, too
    unpriced = sum(answer.cost_usd is None for answer in answered)
    listed = None
    hourly = gpu_hour_usd if prices is None else prices.gpu_hour_usd
    total: float | None = None
    if hourly is not None:
        total, source = wall_s / 3600 * hourly, f"time taken at ${hourly:g} an hour"
    elif prices is not None:
        total, source = sum(_by_token(answer, prices) for answer in answers), _token_prices(prices)
    elif not answered:
        source = "no row was answered"
    elif not priced:
        source = "no price is known for this model" + (f" at {about['host']}" if about.get("host") else "")
        source += "; pass prices=, for a machine of your own gpu= or gpu_hour_usd="
    elif unpriced:
        source = f"{unpriced} of {len(answered)} answers came without a price"
    else:
        listed = _listed(about, "batch_price" if batch else "price")
        total, source = sum(priced), "summed over the answers, as the backend priced them"
        if listed is not None:
            source = _token_prices(listed) + (", through the batch API" if batch else "")
    said = prices or listed
    whose = _GIVEN if said is None else f"{said.source}, {said.as_of.isoformat()}"
    if said is not None or hourly is not None:
        source = f"{source} ({whose})"
    made = training_cost(model, hourly, whose) if training_usd is None else (training_usd, _GIVEN)
    right = sum(right_answers(row, primary) for row in rows)
    return Cost(
        total_usd=total,
        per_1000_usd=None if total is None else total / len(answers) * 1000,
        per_success_usd=None if total is None or right == 0 else total / right,
        source=source,
        as_of=None if said is None else said.as_of,
        training_usd=None if made is None else made[0],
        training_source=None if made is None else made[1],
    )


def right_answers(row: RowResult, primary: str) -> int:
    """How many of the answers to ``row`` are right by the metric ``primary``."""
    others = [answer.scores.get(primary) or 0.0 for answer in row.others]
    first = (row.scores.get(primary) or 0.0) * len(row.answers) - sum(others)  # the row's score is the mean of all
    return sum(score >= RIGHT for score in (first, *others))


def _by_token(answer: RowResult, prices: Prices) -> float:
    input_usd, output_usd = prices.input_usd or 0.0, prices.output_usd or 0.0
    cached_usd = input_usd if prices.cached_input_usd is None else prices.cached_input_usd
    fresh = answer.input_tokens - answer.cached_tokens
    return (fresh * input_usd + answer.cached_tokens * cached_usd + answer.output_tokens * output_usd) / 1e6


def _listed(about: Mapping[str, Any], which: str) -> Prices | None:
    """The catalogue's price by which a hosted backend says that it priced its answers."""
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
    """When ``after`` has paid for its training; what ``before`` once cost to train is spent either way.

    ``None`` when a price, or the training cost of ``after``, is not known.
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
