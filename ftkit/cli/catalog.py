"""``ftkit catalog``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ftkit.cli.console import json_text, note, out, table_lines

if TYPE_CHECKING:
    from ftkit.catalog import Catalog, Deadline, HostedModel

__all__ = ["catalog"]


def catalog(
    provider: Annotated[str, typer.Argument(help="Provider, e.g. openai. Default: all.")] = "",
    model: Annotated[str, typer.Argument(help="Model: print every fact with its source.")] = "",
    *,
    gpus: Annotated[bool, typer.Option("--gpus", help="List GPUs with memory and hourly price.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List hosted models with methods, prices and shutdown dates.

    Every fact has a source and the date on which it was read. Rows of catalog.toml in ftkit's home folder take
    precedence.
    """
    from ftkit.catalog import STALE_AFTER_DAYS, load_catalog
    from ftkit.errors import ConfigError

    known = load_catalog()
    if provider and provider not in known.providers():
        raise ConfigError(f"the catalogue has no provider {provider!r}; known: {', '.join(known.providers())}")
    if json:
        out(json_text(known.model_dump(mode="json", by_alias=True)))
        return
    if gpus:
        rows = [
            (gpu.id, gpu.name, f"{gpu.memory_gib:g} GiB", f"${gpu.per_hour:.2f}/h", f"{gpu.as_of}")
            for gpu in known.gpus
        ]
        lines = table_lines(("GPU", "NAME", "MEMORY", "PRICE", "AS OF"), rows)
    elif model:
        lines = _model_facts(known, provider, model)
    else:
        listed = [row for row in known.model_rows if row.provider == provider or not provider]
        lines = table_lines(_COLUMNS, [_cells(known, row) for row in listed])
    for line in lines:
        out(line)
    old = known.stale()
    if old:
        note(
            f"{len(old)} of {len(known.facts())} facts are older than {STALE_AFTER_DAYS} days; check prices "
            "at their source"
        )


_SEPARATE_FIELDS = {"source", "as_of", "trust", "provider", "note"}
_COLUMNS = ("MODEL", "TUNES", "TRAIN $/1M", "TUNED IN/OUT $/1M", "TRAINING ENDS", "SHUTDOWN")


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


def _model_facts(known: Catalog, provider: str, name: str) -> list[str]:
    """Return lines with every fact about a model and its source."""
    from ftkit.errors import ConfigError

    row = known.model(provider, name)
    if row is None:
        listed = ", ".join(model.id for model in known.models(provider))
        raise ConfigError(f"the catalogue has no model {name!r} of {provider}; known: {listed}")
    methods = ("*", *row.methods) if row.methods else ()
    facts = [
        row,
        *known.deadlines(provider, row.id),
        *(known.training_price(provider, row.id, method) for method in row.methods),
        *(
            known.inference_price(provider, row.id, tuned=tuned, batch=batch)
            for tuned in (True, False)
            for batch in (False, True)
        ),
        *known.hosting(provider, row.id),
        *(limits for limits in known.limit_rows if limits.provider == provider and limits.method in methods),
    ]
    lines: list[str] = []
    for fact in dict.fromkeys(fact for fact in facts if fact is not None):
        fields = fact.model_dump(mode="json", exclude_defaults=True, exclude=_SEPARATE_FIELDS)
        content = ", ".join(
            f"{key} {' '.join(value) if isinstance(value, list) else value}" for key, value in fields.items()
        )
        lines.append(f"{type(fact).__name__}: {content}")
        if fact.note:
            lines.append(f"    {fact.note}")
        lines.append(f"    {fact.trust}, read {fact.as_of}: {fact.source}")
    return lines
