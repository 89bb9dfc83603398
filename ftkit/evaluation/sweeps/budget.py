"""What a sweep costs before anything of it is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.backends import Backend
from ftkit.counts import counted
from ftkit.data import Dataset
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import RefusedError
from ftkit.recipe import Recipe
from ftkit.results.number_format import count_text, usd_text

__all__ = ["TrialCost", "check_budget", "trial_cost"]


@dataclass(frozen=True, slots=True)
class TrialCost:
    """What a trial costs.

    Attributes:
        label: the trial.
        usd: training and answers to the test rows, in US dollars; None if no price is known.
        by_host: the host states the price of training when it has the rows; ``usd`` is then None.
        detail: how the number was computed, or why there is none.
    """

    label: str
    usd: float | None
    by_host: bool
    detail: str


def trial_cost(
    label: str, backend: Backend, recipe: Recipe, data: Dataset, validation: Dataset | None, test: Dataset
) -> TrialCost | None:
    """Estimate what a trial costs.

    Args:
        label: the trial.
        backend: where it trains.
        recipe: its recipe.
        data: the training rows.
        validation: the validation rows.
        test: the rows that its model answers.

    Returns:
        The cost; None if the backend charges nothing.
    """
    get_quote: Any = getattr(backend, "quote", None)
    if get_quote is None:
        return None
    quote = get_quote(recipe, data, validation)
    answers = quote.usd_per_1000_predictions
    if quote.training_usd is None:
        return TrialCost(label, None, quote.estimated_by_host, quote.unlisted or "no price is known")
    tokens = f"{count_text(quote.tokens_per_epoch)} tokens × {counted(quote.epochs, 'epoch')}"
    if answers is None:
        return TrialCost(label, None, False, f"training {usd_text(quote.training_usd)}, answers without a known price")
    usd = quote.training_usd + answers * len(test) / 1000
    return TrialCost(label, usd, False, f"{tokens}, and {counted(len(test), 'answer')}")


def check_budget(costs: Sequence[TrialCost], *, spent_usd: float, max_cost: float) -> float:
    """Refuse a sweep that costs too much.

    Args:
        costs: the trials that are not finished and cost something.
        spent_usd: what the finished ones cost.
        max_cost: the most that the whole sweep may cost, in US dollars.

    Returns:
        The most that each trial whose price the host states may cost.

    Raises:
        RefusedError: it costs more, or a price is not known.
    """
    known = sum(cost.usd or 0.0 for cost in costs)
    by_host = [cost for cost in costs if cost.by_host]
    unknown = next((cost for cost in costs if cost.usd is None and not cost.by_host), None)
    left = max_cost - spent_usd - known
    if unknown is not None:
        reason = f"the price of {unknown.label} is not known ({unknown.detail})"
    elif left < 0 and costs:
        parts = "; ".join(f"{cost.label}: {usd_text(cost.usd)} ({cost.detail})" for cost in costs if cost.usd)
        before = f", after {usd_text(spent_usd)} that were spent" if spent_usd else ""
        reason = f"the sweep would cost about {usd_text(known)}{before}: {parts}"
    else:
        return left / len(by_host) if by_host else left
    cap = Argument("max_cost", text="max_cost")
    raise RefusedError(ErrorText(cap, f" is {usd_text(max_cost)}, and {reason}. Nothing was started"))
