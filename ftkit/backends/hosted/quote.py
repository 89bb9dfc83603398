"""What a run would cost at a host, and the dates on which the host stops training and serving the model."""

from __future__ import annotations

from datetime import date
from typing import Any

from ftkit.backends.hosted.token_counter import TokenCounter
from ftkit.catalog import days_until, load_catalog
from ftkit.counts import counted
from ftkit.data import Dataset
from ftkit.recipe import Recipe, RecipeFacts
from ftkit.results.plan import Quote

__all__ = ["quote"]


def quote(
    backend: str,
    catalog_key: tuple[str, str],
    recipe: Recipe,
    data: Dataset,
    *,
    evaluated: Dataset | None = None,
    evaluations: int = 0,
    shutdown_date: date | None = None,
    estimated_by_host: bool = False,
    today: date | None = None,
) -> Quote:
    """Calculate what training costs at a host.

    Args:
        backend: ``"name:model"``.
        catalog_key: provider and model as the catalogue names them.
        recipe: the recipe.
        data: the training rows.
        evaluated: the validation rows.
        evaluations: how often the host evaluates them at the price of training.
        shutdown_date: the model's shutdown date as the host itself gives it; takes precedence over the catalogue's.
        estimated_by_host: whether the host estimates the price when it has the rows.
        today: the day from which the days left are counted; today by default.

    Returns:
        The quote.
    """
    catalog = load_catalog()
    provider, model = catalog_key
    listed = catalog.model(provider, model)
    counter = TokenCounter(None if listed is None else listed.tokenizer)
    tokens, prompt_tokens, longest = _count_tokens(data, counter)
    resolved = recipe.resolve(RecipeFacts(rows=len(data)))
    epochs = int(resolved.epochs)
    method: Any = recipe.kind
    adapter: Any = "full" if recipe.adapter.trains_base_weights else "lora"
    training = catalog.training_price(provider, model, method, adapter)
    inference = catalog.inference_price(provider, model, tuned=True)
    hosting = catalog.hosting(provider, model)
    closing, stopping = catalog.training_closes(provider, model), catalog.stops(provider, model)
    stops, stops_source = (None, None) if stopping is None else (stopping.on, stopping.source)
    if shutdown_date is not None:
        stops, stops_source = shutdown_date, f"GET /models of {provider}"
    closes = min(filter(None, (None if closing is None else closing.on, shutdown_date)), default=None)
    unlisted = None
    if not catalog.knows(provider):
        unlisted = (
            f"prices, limits and dates are not known: the catalogue says nothing of {provider}; rows of yours for "
            f'provider "{provider}" in catalog.toml would (docs/catalog.md)'
        )
    notes = [] if counter.exact else [f"tokens are estimated: {counter.reason}"]
    if listed is not None and listed.training_context is not None and longest > listed.training_context:
        notes.append(f"the longest row has {longest:,} tokens, and {listed.training_context:,} are trained on")
    if training is not None and training.per_hour is not None:
        notes.append("training is charged by the hour, and how long it takes depends on the model's own answers")
    if training is not None and training.note:
        notes.append(f"price of training: {training.note}")
    for name, fact in (("training", training), ("answers", inference)):
        if fact is not None and fact.disagreement:
            notes.append(f"price of {name}: {fact.disagreement}")
    if shutdown_date is not None and stopping is not None and shutdown_date != stopping.on:
        notes.append(
            f"it stops answering on {shutdown_date} by the host's own word, not on {stopping.on} as in the catalogue"
        )
    notes += [f"{fact.source} was read {fact.as_of}" for fact in (training, inference) if fact and fact.is_stale(today)]
    if estimated_by_host:
        notes.append(
            "the host's own estimate needs the uploaded rows: ft.train asks for it before the job is created, and "
            "max_cost applies to it too"
        )
    answer_tokens = tokens - prompt_tokens
    evaluation_tokens = 0
    if evaluated is not None and evaluations:
        evaluation_tokens = evaluations * _count_tokens(evaluated, counter)[0]
        notes.append(
            f"the host charges {evaluation_tokens:,} tokens for {evaluations} evaluations of "
            f"{counted(len(evaluated), 'validation row')} as for training"
        )
    return Quote(
        backend=backend,
        rows=len(data),
        epochs=epochs,
        tokens_per_epoch=tokens,
        tokenizer=counter.name,
        exact=counter.exact,
        training_usd=None if training is None else training.cost(tokens * epochs + evaluation_tokens),
        training_usd_per_hour=None if training is None else training.per_hour,
        usd_per_1000_predictions=None
        if inference is None
        else inference.cost(prompt_tokens, answer_tokens, requests=max(1, len(data))) / max(1, len(data)) * 1000,
        hosting_usd_per_hour=min((price.per_hour for price in hosting), default=None),
        training_closes=closes,
        training_days_left=None if closes is None else days_until(closes, today),
        stops_answering=stops,
        answering_days_left=None if stops is None else days_until(stops, today),
        stops_source=stops_source,
        estimated_by_host=estimated_by_host,
        unlisted=unlisted,
        replacement=None if listed is None else listed.replacement,
        price_source=None if training is None else training.source,
        price_as_of=None if training is None else training.as_of,
        notes=tuple(notes),
    )


def _count_tokens(data: Dataset, counter: TokenCounter) -> tuple[int, int, int]:
    """Tokens of all rows, of their prompts, and of the longest row."""
    total = prompt_total = longest = 0
    for row in data:
        prompt = counter.count_messages(row.prompt, row.tools)
        answer = counter.count_messages(row.messages[len(row.prompt) :])
        if row.rejected is not None:
            answer += counter.count_messages([row.rejected])
        total += prompt + answer
        prompt_total += prompt
        longest = max(longest, prompt + answer)
    return total, prompt_total, longest
