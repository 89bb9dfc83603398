"""Plans in a terminal: quantities down, backends across."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

from ftkit.results.plan import Estimate, Plan, Quote

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["plan_table", "plan_text"]

_RECIPE = (
    *("epochs", "batch_size", "num_generations", "max_output_tokens"),
    *("learning_rate", "max_batch_tokens", "precision", "optimizer"),
)
_PARTS = ("weights", "adapters", "gradients", "optimizer", "activations", "logits", "workspace", "allocator", "process")


def plan_text(plan: Plan) -> str:
    """The plan as lines of text."""
    lines = [f"{plan.rows:,} rows"]
    for rows in filter(None, (_rows(plan), _quotes(plan))):
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [""]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
    below = _below(plan)
    return "\n".join([*lines, *([""] if below else []), *below])


def plan_table(plan: Plan) -> RenderableType:
    """The plan for a rich console."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    header, *rows = _rows(plan) or [[""]]
    for name in header:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        lead = row[0] in ("peak memory", "time in all")
        table.add_row(*map(Text, row), style="bold" if lead else None)
    below = [Text(line, style="yellow") for line in _below(plan)]
    shown = [table] if len(table.columns) > 1 else []
    quotes = _quotes(plan)
    if quotes:
        charged = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in quotes[0]:
            charged.add_column(Text(name), overflow="fold")
        for row in quotes[1:]:
            charged.add_row(*map(Text, row), style="bold" if row[0] == "training" else None)
        shown.append(charged)
    return Group(Text(f"{plan.rows:,} rows", style="bold"), *shown, *below)


def _rows(plan: Plan) -> list[list[str]]:
    """A header and one row a quantity that any of them has; empty when no backend could say anything."""
    known = [(entry.backend, entry.estimate) for entry in plan.entries if entry.estimate is not None]
    if not known:
        return []
    rows = [["", *(name for name, _ in known)]]
    for label, cell in _quantities():
        cells = [cell(estimate) for _, estimate in known]
        if any(one != "–" for one in cells):
            rows.append([label, *cells])
    return rows


def _quotes(plan: Plan) -> list[list[str]]:
    """As :func:`_rows`, for places that charge."""
    known = [(entry.backend, entry.quote) for entry in plan.entries if entry.quote is not None]
    if not known:
        return []
    cells: list[tuple[str, Callable[[Quote], str]]] = [
        ("epochs", lambda one: f"{one.epochs:,}"),
        ("tokens an epoch", lambda one: f"{one.tokens_per_epoch:,}" + ("" if one.exact else " (estimated)")),
        ("training", _training),
        ("1,000 answers", lambda one: _usd(one.usd_per_1000_predictions)),
        ("kept ready, an hour", lambda one: _usd(one.hosting_usd_per_hour)),
        ("training closes", lambda one: _until(one.training_closes, one.training_days_left)),
        ("stops answering", lambda one: _until(one.stops_answering, one.answering_days_left)),
        ("replacement", lambda one: one.replacement or "–"),
        ("price read", lambda one: "–" if one.price_as_of is None else str(one.price_as_of)),
    ]
    return [["", *(name for name, _ in known)], *([label, *(cell(one) for _, one in known)] for label, cell in cells)]


def _training(one: Quote) -> str:
    return _usd(one.training_usd) if one.training_usd_per_hour is None else f"{_usd(one.training_usd_per_hour)} an hour"


def _usd(amount: float | None) -> str:
    return "–" if amount is None else f"${amount:,.2f}"


def _until(day: date | None, left: int | None) -> str:
    return "–" if day is None else f"{day} ({left} days)"


def _quantities() -> list[tuple[str, Callable[[Estimate], str]]]:
    found: list[tuple[str, Callable[[Estimate], str]]] = [("device", lambda one: one.device)]
    found.append(("adapter", lambda one: str(one.recipe["adapter"]["kind"])))
    found += [(name, lambda one, name=name: _value(one.recipe.get(name))) for name in _RECIPE]  # type: ignore[misc]
    found += [
        ("parameters", lambda one: f"{one.parameters:,}"),
        ("trainable", lambda one: f"{one.trainable_parameters:,} ({one.trainable_parameters / one.parameters:.2%})"),
    ]
    found += [(f"  {name}", lambda one, name=name: _size(getattr(one.memory, name))) for name in _PARTS]  # type: ignore[misc]
    found += [
        ("  cache", lambda one: _size(one.memory.cache) if one.memory.cache else "–"),
        ("peak memory", _peak),
        ("tokens an epoch", lambda one: f"{one.tokens_per_epoch:,}"),
        ("  computed", lambda one: f"{one.computed_tokens_per_epoch:,}"),
        ("  drawn", lambda one: f"{one.drawn_tokens_per_epoch:,}" if one.drawn_tokens_per_epoch else "–"),
        ("steps", lambda one: f"{one.steps:,}"),
        ("time a step", lambda one: _time(one.seconds_per_step)),
        ("time in all", lambda one: _time(one.seconds)),
    ]
    return found


def _below(plan: Plan) -> list[str]:
    lines = [f"{entry.backend}: no estimate: {entry.problem}" for entry in plan.entries if entry.problem is not None]
    for entry in plan.entries:
        if entry.quote is not None:
            lines += [f"{entry.backend}: {note}" for note in filter(None, (entry.quote.unlisted, *entry.quote.notes))]
    notes = {
        f"{entry.backend}: {note}": None for entry in plan.entries if entry.estimate for note in entry.estimate.notes
    }
    return [*lines, *(f"Note: {note}." for note in notes)]


def _peak(one: Estimate) -> str:
    verdict = "fits" if one.fits else "does NOT fit"
    return f"{_size(one.memory.peak)} of {_size(one.device_memory)}: {verdict}"


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _size(count: int) -> str:
    """Bytes in decimal units: ``540 MB``, ``35.2 GB``."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
