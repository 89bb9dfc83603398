"""``ftkit catalog``."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from ftkit.cli.console import json_text, note, out, table_lines, warn
from ftkit.counts import counted, verb

if TYPE_CHECKING:
    from ftkit.catalog import Catalog, Deadline, Fact, HostedModel

__all__ = ["catalog"]


_LIST = "list"


class _Group(TyperGroup):
    """`ftkit catalog openai` is short for `ftkit catalog list openai`."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


catalog = typer.Typer(
    cls=_Group,
    rich_markup_mode=None,
    help="Hosted models with methods, prices and shutdown dates. `ftkit catalog openai` lists those of one provider.",
)


@catalog.command(_LIST)
def list_models(
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


@catalog.command()
def update(
    origin: Annotated[
        str,
        typer.Argument(
            metavar="FILE|URL",
            help="LiteLLM's price map (model_prices_and_context_window.json), or rows in the form of catalog.toml. "
            "URLs are read over https only.",
            show_default=False,
        ),
    ],
    *,
    source: Annotated[
        str | None, typer.Option(metavar="URL", help="Where a price map in a file comes from [default: the URL]")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of", metavar="DATE", help="When a price map in a file was read there [default for a URL: today]"
        ),
    ] = None,
) -> None:
    """Update prices and shutdown dates from a file or a URL.

    The rows are stored in catalog-updates.json in ftkit's home folder. Rows of your own catalog.toml keep their
    precedence. Where a price map differs from the catalogue, the price is stored as unsure, with both readings.
    """
    from ftkit.catalog.update import update_catalog

    try:
        day = None if as_of is None else date.fromisoformat(as_of)
    except ValueError:
        raise typer.BadParameter(f'"{as_of}" is not a date, e.g. 2026-11-24', param_hint="--as-of") from None
    done = update_catalog(origin, source=source, as_of=day)
    out(f"{counted(done.added, 'row')} added, {done.changed:,} changed, {done.agreeing:,} agree with the catalogue")
    if done.older:
        out(f"{counted(done.older, 'row')} {verb(done.older, 'is', 'are')} older than the catalogue's and left out")
    if done.overridden:
        out(f"{done.overridden:,} of them are overridden by your own catalog.toml")
    for sentence in done.disagreements:
        warn(sentence)
    if done.problems:
        warn(f"{len(done.problems):,} entries could not be read; the first: {done.problems[0]}")
    note(f"stored in {done.path}")


_SEPARATE_FIELDS = {"source", "as_of", "trust", "provider", "note", "readings"}
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
    if price is not None and price.readings:
        training += " ?"
    return (
        f"{row.provider}:{row.id}",
        " ".join(row.methods) or "no",
        training,
        "" if answers is None else f"{answers.input:.2f}/{answers.output:.2f}{' ?' if answers.readings else ''}",
        _day(known.training_closes(row.provider, row.id)) if row.methods else "",
        _day(known.stops(row.provider, row.id, tuned=bool(row.methods))),
    )


def _day(deadline: Deadline | None) -> str:
    from ftkit.catalog import days_until

    if deadline is None:
        return ""
    left = days_until(deadline.on)
    return f"{deadline.on} " + (f"({counted(left, 'day')})" if left >= 0 else "(passed)")


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
        known.parameters(provider, row.id),
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
    shown: list[Fact] = []
    for fact in facts:
        if fact is None or fact in shown:
            continue
        shown.append(fact)
        fields = fact.model_dump(mode="json", exclude_defaults=True, exclude=_SEPARATE_FIELDS)
        content = ", ".join(
            f"{key} {' '.join(value) if isinstance(value, list) else value}" for key, value in fields.items()
        )
        lines.append(f"{type(fact).__name__}: {content}")
        if fact.note:
            lines.append(f"    {fact.note}")
        if fact.disagreement:
            lines.append(f"    {fact.disagreement}")
            lines += [f"    {reading.note}" for reading in fact.readings if reading.note]
        lines.append(f"    {fact.trust}, read {fact.as_of}: {fact.source}")
    return lines
