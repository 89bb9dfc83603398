"""``ftkit catalog``: what is known of providers, with dates and sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import aligned, json_text, note

if TYPE_CHECKING:
    from ftkit.catalog import Catalog, Deadline, HostedModel

__all__ = ["catalog"]


def catalog(
    provider: Annotated[str, typer.Argument(help="One provider, e.g. openai. All when absent.")] = "",
    model: Annotated[str, typer.Argument(help="One model: every fact with its source.")] = "",
    *,
    gpus: Annotated[bool, typer.Option("--gpus", help="GPUs with their memory and hourly price.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Models of other places: tuning, prices and deadlines.

    Every fact has a source and the day it was read. Your own rows in catalog.toml, in ftkit's home, go before these.
    """
    from ftkit.catalog import STALE_AFTER_DAYS, load_catalog
    from ftkit.errors import ConfigError

    known = load_catalog()
    if provider and provider not in known.providers():
        raise ConfigError(f"the catalogue has no provider {provider!r}; it has {', '.join(known.providers())}")
    if json:
        typer.echo(json_text(known.model_dump(mode="json", by_alias=True)))
        return
    if gpus:
        rows = [
            (gpu.id, gpu.name, f"{gpu.memory_gib:g} GiB", f"${gpu.per_hour:.2f}/h", f"{gpu.as_of}")
            for gpu in known.gpus
        ]
        lines = aligned([("GPU", "NAME", "MEMORY", "PRICE", "AS OF"), *rows])
    elif model:
        lines = _one(known, provider, model)
    else:
        listed = [row for row in known.model_rows if row.provider == provider or not provider]
        lines = aligned([_HEADER, *(_cells(known, row) for row in listed)])
    for line in lines:
        typer.echo(line)
    old = known.stale()
    if old:
        note(
            f"{len(old)} of {len(known.facts())} facts were read more than {STALE_AFTER_DAYS} days ago; check prices "
            "at their source before relying on them"
        )


_APART = {"source", "as_of", "trust", "provider", "note"}
_HEADER = ("MODEL", "TUNES", "TRAIN $/1M", "TUNED IN/OUT $/1M", "TRAINING CLOSES", "STOPS ANSWERING")


def _cells(known: Catalog, row: HostedModel) -> tuple[str, ...]:
    method = row.methods[0] if row.methods else None
    price = known.training_price(row.provider, row.id, method) if method else None
    answers = known.inference_price(row.provider, row.id, tuned=bool(row.methods))
    if price is None:
        training = ""
    elif price.per_million_tokens is None:
        training = f"{price.per_hour:.2f}/h"
    else:
        training = f"{price.per_million_tokens:.2f}"
    return (
        f"{row.provider}:{row.id}",
        " ".join(row.methods) or "no",
        training,
        "" if answers is None else f"{answers.input:.2f}/{answers.output:.2f}",
        _day(known.training_closes(row.provider, row.id)) if row.methods else "",
        _day(known.stops(row.provider, row.id, tuned=bool(row.methods))),
    )


def _day(deadline: Deadline | None) -> str:
    from ftkit.catalog import days_until

    if deadline is None:
        return ""
    left = days_until(deadline.on)
    return f"{deadline.on} " + (f"({left} days)" if left >= 0 else "(passed)")


def _one(known: Catalog, provider: str, name: str) -> list[str]:
    """Every fact about a model, with where it was read."""
    from ftkit.errors import ConfigError

    row = known.model(provider, name)
    if row is None:
        listed = ", ".join(model.id for model in known.models(provider))
        raise ConfigError(f"the catalogue has no model {name!r} of {provider}; it has {listed}")
    taken = ("*", *row.methods) if row.methods else ()
    wanted = [
        row,
        *known.deadlines(provider, row.id),
        *(known.training_price(provider, row.id, method) for method in row.methods),
        *(
            known.inference_price(provider, row.id, tuned=tuned, batch=batch)
            for tuned in (True, False)
            for batch in (False, True)
        ),
        *known.hosting(provider, row.id),
        *(limits for limits in known.limit_rows if limits.provider == provider and limits.method in taken),
    ]
    lines: list[str] = []
    for fact in dict.fromkeys(fact for fact in wanted if fact is not None):
        told = fact.model_dump(mode="json", exclude_defaults=True, exclude=_APART)
        shown = ", ".join(
            f"{key} {' '.join(value) if isinstance(value, list) else value}" for key, value in told.items()
        )
        lines.append(f"{type(fact).__name__}: {shown}")
        if fact.note:
            lines.append(f"    {fact.note}")
        lines.append(f"    {fact.trust}, read {fact.as_of}: {fact.source}")
    return lines
