"""What a run would cost at a host, and how long its door stays open."""

from __future__ import annotations

from datetime import date
from typing import Any

from ftkit.backends.hosted.token_counter import TokenCounter
from ftkit.catalog import days_until, load_catalog
from ftkit.data import Dataset
from ftkit.recipe import Recipe, RecipeFacts
from ftkit.results.plan import Quote

__all__ = ["quote"]


def quote(
    backend: str,
    listed: tuple[str, str],
    recipe: Recipe,
    data: Dataset,
    *,
    last_day: date | None = None,
    estimated_by_host: bool = False,
    today: date | None = None,
) -> Quote:
    """Work out what training ``recipe`` on ``data`` costs there.

    Args:
        backend: as ``"name:model"``.
        listed: under which provider and name the catalogue has the model.
        last_day: when the host itself says that the model stops answering; goes before the catalogue's word.
        estimated_by_host: whether the host says its own price of the job once it has the rows.

    Raises:
        DataError: a row that cannot be read.
    """
    known = load_catalog()
    provider, model = listed
    row = known.model(provider, model)
    counter = TokenCounter(None if row is None else row.tokenizer)
    tokens = prompts = longest = 0
    for one in data:
        asked, answered = counter.messages(one.prompt, one.tools), counter.messages(one.messages[len(one.prompt) :])
        if one.rejected is not None:
            answered += counter.messages([one.rejected])
        tokens += asked + answered
        prompts += asked
        longest = max(longest, asked + answered)
    resolved = recipe.resolve(RecipeFacts(rows=len(data)))
    epochs = int(resolved.epochs)
    method: Any = recipe.kind
    adapter: Any = "full" if recipe.adapter.trains_base_weights else "lora"
    training = known.training_price(provider, model, method, adapter)
    answers = known.inference_price(provider, model, tuned=True)
    hosting = known.hosting(provider, model)
    closing, stopping = known.training_closes(provider, model), known.stops(provider, model)
    stops, stops_source = (None, None) if stopping is None else (stopping.on, stopping.source)
    if last_day is not None:
        stops, stops_source = last_day, f"GET /models of {provider}"
    closes = min(filter(None, (None if closing is None else closing.on, last_day)), default=None)
    unlisted = None
    if not known.knows(provider):
        unlisted = (
            f"prices, limits and dates are not known: the catalogue says nothing of {provider}; rows of yours for "
            f'provider "{provider}" in catalog.toml would (docs/catalog.md)'
        )
    notes = [] if counter.exact else [f"tokens are estimated: {counter.why}"]
    if row is not None and row.training_context is not None and longest > row.training_context:
        notes.append(f"the longest row has {longest:,} tokens, and {row.training_context:,} are trained on")
    if training is not None and training.per_hour is not None:
        notes.append("training is charged by the hour, and how long it takes depends on the model's own answers")
    if training is not None and training.note:
        notes.append(f"price of training: {training.note}")
    if last_day is not None and stopping is not None and last_day != stopping.on:
        notes.append(
            f"it stops answering on {last_day} by the host's own word, not on {stopping.on} as in the catalogue"
        )
    notes += [f"{fact.source} was read {fact.as_of}" for fact in (training, answers) if fact and fact.is_stale(today)]
    if estimated_by_host:
        notes.append(
            "the host's own estimate needs the uploaded rows: ft.train asks for it before the job is created, and "
            "max_cost goes by it too"
        )
    return Quote(
        backend=backend,
        rows=len(data),
        epochs=epochs,
        tokens_per_epoch=tokens,
        tokenizer=counter.name,
        exact=counter.exact,
        training_usd=None if training is None else training.cost(tokens * epochs),
        training_usd_per_hour=None if training is None else training.per_hour,
        usd_per_1000_predictions=None
        if answers is None
        else answers.cost(prompts, tokens - prompts) / max(1, len(data)) * 1000,
        hosting_usd_per_hour=min((price.per_hour for price in hosting), default=None),
        training_closes=closes,
        training_days_left=None if closes is None else days_until(closes, today),
        stops_answering=stops,
        answering_days_left=None if stops is None else days_until(stops, today),
        stops_source=stops_source,
        estimated_by_host=estimated_by_host,
        unlisted=unlisted,
        replacement=None if row is None else row.replacement,
        price_source=None if training is None else training.source,
        price_as_of=None if training is None else training.as_of,
        notes=tuple(notes),
    )
