"""Read LiteLLM's price map: ``model_prices_and_context_window.json`` of github.com/BerriAI/litellm.

The map is a JSON object from names of models to objects. The fields read here, as of LiteLLM 1.110:
``litellm_provider``, ``mode``, ``input_cost_per_token``, ``output_cost_per_token``, ``cache_read_input_token_cost``,
``output_cost_per_reasoning_token``, the same with ``_batches`` and ``_above_<n>k_tokens``, and ``deprecation_date``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from ftkit.catalog.catalog import Catalog, base_of
from ftkit.catalog.facts import MOST_USD
from ftkit.errors import ConfigError

__all__ = ["is_price_map", "price_map_rows"]

_PROVIDERS = {
    "openai": "openai",
    "azure": "azure",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "nebius": "nebius",
    "bedrock_mantle": "bedrock-mantle",
}
"""LiteLLM's names of the providers that ftkit has a backend for, and ftkit's."""

_MODES = ("chat", "responses", "completion")
_ABOVE = re.compile(r"input_cost_per_token_above_(\d{1,6})k_tokens")
_MAX_ENTRIES = 200_000
_MAX_NAME = 300


def is_price_map(data: Any) -> bool:
    """Return whether parsed JSON has the form of the price map.

    Args:
        data: the parsed JSON.

    Returns:
        Whether it maps names to objects, of which one names a provider.
    """
    if not isinstance(data, dict) or not data:
        return False
    return any(isinstance(entry, dict) and "litellm_provider" in entry for entry in data.values())


def price_map_rows(
    data: Mapping[str, Any], known: Catalog, *, source: str, as_of: date
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Turn a price map into rows of the catalogue.

    Args:
        data: the map.
        known: the catalogue, which knows the aliases of models.
        source: URL of the map.
        as_of: date on which it was read.

    Returns:
        Rows by table, and what could not be read, each with the name of its entry.

    Raises:
        ConfigError: the map has too many entries.
    """
    if len(data) > _MAX_ENTRIES:
        raise ConfigError(f"the price map has {len(data):,} entries; at most {_MAX_ENTRIES:,} are read")
    prices: dict[tuple[Any, ...], dict[str, Any]] = {}
    deadlines: dict[tuple[Any, ...], dict[str, Any]] = {}
    problems: list[str] = []
    origin = {"source": source, "as_of": as_of, "trust": "secondary"}
    for name, entry in data.items():
        provider = _PROVIDERS.get(str(entry.get("litellm_provider"))) if isinstance(entry, Mapping) else None
        if provider is None or entry.get("mode") not in _MODES:
            continue
        try:
            model, tuned, exact = _model(name, entry["litellm_provider"], provider, known)
            for batch in (False, True):
                row = _price(entry, batch)
                key = (provider, model, tuned, batch)
                if row is not None and (exact or key not in prices):  # the full name wins over an alias
                    named = {"provider": provider, "model": model, "tuned": tuned, "batch": batch}
                    prices[key] = named | row | origin
            ends = _deprecation(entry)
            if ends is not None:
                kind = "tuned_models" if tuned else "model"
                row = {"provider": provider, "model": model, "ends": kind, "on": ends} | origin
                deadlines[(provider, model, kind, ends)] = row
        except ValueError as error:
            problems.append(f"{name[:80]!r}: {error}")
    return {"inference_price": list(prices.values()), "deadline": list(deadlines.values())}, problems


def _model(name: str, litellm_provider: str, provider: str, known: Catalog) -> tuple[str, bool, bool]:
    """The model's id, whether the entry is of tuned versions, and whether its name is that id."""
    short = name.removeprefix(f"{litellm_provider}/")
    if not short or len(short) > _MAX_NAME or not short.isprintable():
        raise ValueError("the name is empty, too long or not printable")
    tuned, base = short.startswith("ft:"), base_of(short)
    listed = known.model(provider, base)
    model = base if listed is None else listed.id
    return model, tuned, model == base


def _price(entry: Mapping[str, Any], batch: bool) -> dict[str, Any] | None:
    """The fields of a price; None if the entry has none."""
    suffix = "_batches" if batch else ""
    taken, given = (_per_million(entry, f"{side}_cost_per_token{suffix}") for side in ("input", "output"))
    if taken is None or given is None or not (taken or given):
        return None
    row: dict[str, Any] = {"input": taken, "output": given}
    optional = {
        "cached_input": f"cache_read_input_token_cost{suffix}",
        "reasoning": "" if batch else "output_cost_per_reasoning_token",
    }
    row |= {field: price for field, key in optional.items() if (price := _per_million(entry, key)) is not None}
    return row | dict(_long(entry, row, suffix))


def _long(entry: Mapping[str, Any], row: Mapping[str, float], suffix: str) -> Iterator[tuple[str, Any]]:
    """The fields of a higher price for long requests: the lowest limit that the entry names."""
    limits = sorted(int(found[1]) for key in entry if (found := _ABOVE.fullmatch(key)))
    if not limits:
        return
    pairs = [
        (_per_million(entry, f"{side}_cost_per_token_above_{limits[0]}k_tokens{suffix}"), row[side])
        for side in ("input", "output")
    ]
    factors = [round(above / usual, 6) if above and usual else 1.0 for above, usual in pairs]
    if any(factor != 1.0 for factor in factors):
        yield "long_from", limits[0] * 1000
        yield "long_input", factors[0]
        yield "long_output", factors[1]


def _per_million(entry: Mapping[str, Any], key: str) -> float | None:
    """US dollars per million tokens."""
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} is no number")
    if not -MOST_USD <= value <= MOST_USD:  # NaN, infinity and numbers that no float can hold, too
        raise ValueError(f"{key} is not believable as a price of one token")
    price = round(value * 1e6, 6)
    if not 0 <= price <= MOST_USD:
        raise ValueError(f"{key}: ${price:g} per million tokens is not believable")
    return price


def _deprecation(entry: Mapping[str, Any]) -> date | None:
    value = entry.get("deprecation_date")
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("deprecation_date is no date, e.g. 2027-01-14") from None
