"""Plans as text and for rich consoles: quantities down, backends across."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ftkit.counts import counted
from ftkit.render.table import Cell, Column, Line, Row, Table, escape_markdown, to_rich, to_text
from ftkit.render.templates import render_page
from ftkit.results.number_format import NONE
from ftkit.results.plan import Estimate, Plan, Quote

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["plan_markdown", "plan_page", "plan_rich", "plan_text"]

_RECIPE = (
    *("epochs", "batch_size", "num_generations", "max_output_tokens"),
    *("learning_rate", "max_batch_tokens", "precision", "optimizer"),
)
_MEMORY = (
    "weights",
    "adapters",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "workspace",
    "allocator",
    "process",
)
_BOLD = ("peak memory", "total time", "training")

_Entry = TypeVar("_Entry", Estimate, Quote)
_Quantities = Sequence[tuple[str, Callable[[_Entry], str]]]


def plan_text(plan: Plan) -> str:
    """Write a plan as plain text.

    Args:
        plan: The plan.

    Returns:
        The text.
    """
    return to_text(_blocks(plan))


def plan_rich(plan: Plan) -> RenderableType:
    """Build a plan for a rich console.

    Args:
        plan: The plan.

    Returns:
        What a rich console prints.
    """
    return to_rich(_blocks(plan))


def plan_markdown(plan: Plan) -> str:
    """Write a plan as Markdown.

    Args:
        plan: The plan.

    Returns:
        The Markdown.
    """
    parts = [
        escape_markdown(block.text()) if isinstance(block, Line) else f"\n{block.markdown()}\n"
        for block in _blocks(plan)
    ]
    return "\n".join(["## Plan", "", *(part for part in parts if part)]) + "\n"


def plan_page(plan: Plan) -> str:
    """Render a plan as a page.

    Args:
        plan: The plan.

    Returns:
        HTML.
    """
    return render_page("plan", f"plan: {', '.join(entry.backend for entry in plan.entries)}", blocks=_blocks(plan))


def _blocks(plan: Plan) -> list[Line | Table]:
    estimates = [(entry.backend, entry.estimate) for entry in plan.entries if entry.estimate is not None]
    quotes = [(entry.backend, entry.quote) for entry in plan.entries if entry.quote is not None]
    blocks: list[Line | Table] = [Line.of(f"{counted(plan.rows, 'row')}", "bold")]
    if estimates:
        blocks += [Line.of(""), _table(estimates, _estimate_quantities())]
    if quotes:
        blocks += [Line.of(""), _table(quotes, _quote_quantities())]
    notes = _notes(plan)
    return [*blocks, *([Line.of("")] if notes else []), *(Line.of(note, "yellow") for note in notes)]


def _table(entries: Sequence[tuple[str, _Entry]], quantities: _Quantities[_Entry]) -> Table:
    """The table of what at least one entry knows."""
    rows: list[Row] = []
    for label, text in quantities:
        cells: list[str | Cell] = [text(entry) for _, entry in entries]
        if any(cell != NONE for cell in cells):
            rows.append(Row([label, *cells], bold=label in _BOLD))
    return Table(["", *(Column(name, wrap=True) for name, _ in entries)], rows)


def _estimate_quantities() -> _Quantities[Estimate]:
    return [
        ("device", lambda one: one.device),
        ("workers", _workers),
        ("adapter", lambda one: str(one.recipe["adapter"]["kind"])),
        *((name, partial(_recipe_field, name=name)) for name in _RECIPE),
        ("parameters", lambda one: f"{one.parameters:,}"),
        ("trainable", lambda one: f"{one.trainable_parameters:,} ({one.trainable_parameters / one.parameters:.2%})"),
        *((f"  {name}", partial(_memory_part, name=name)) for name in _MEMORY),
        ("  gathered", lambda one: _bytes_text(one.memory.gathered) if one.memory.gathered else NONE),
        ("  cache", lambda one: _bytes_text(one.memory.cache) if one.memory.cache else NONE),
        ("peak memory", _peak_memory),
        ("tokens per epoch", lambda one: f"{one.tokens_per_epoch:,}"),
        ("  computed", lambda one: f"{one.computed_tokens_per_epoch:,}"),
        ("  generated", lambda one: f"{one.drawn_tokens_per_epoch:,}" if one.drawn_tokens_per_epoch else NONE),
        ("steps", lambda one: f"{one.steps:,}"),
        ("time per step", lambda one: _duration_text(one.seconds_per_step)),
        ("  computing", _computing),
        ("  sending", _sending),
        ("time per epoch", lambda one: _duration_text(one.seconds_per_epoch) if one.workers else NONE),
        ("total time", lambda one: _duration_text(one.seconds)),
    ]


def _quote_quantities() -> _Quantities[Quote]:
    return [
        ("epochs", lambda one: f"{one.epochs:,}"),
        ("tokens per epoch", lambda one: f"{one.tokens_per_epoch:,}" + ("" if one.exact else " (estimated)")),
        ("training", _training_price),
        ("1,000 answers", lambda one: _usd_text(one.usd_per_1000_predictions)),
        ("hosting per hour", lambda one: _usd_text(one.hosting_usd_per_hour)),
        ("training closes", lambda one: _deadline(one.training_closes, one.training_days_left)),
        ("model shutdown", lambda one: _deadline(one.stops_answering, one.answering_days_left)),
        ("replacement", lambda one: one.replacement or NONE),
        ("price as of", lambda one: NONE if one.price_as_of is None else str(one.price_as_of)),
    ]


def _notes(plan: Plan) -> list[str]:
    lines = [f"{entry.backend}: no estimate: {entry.problem}" for entry in plan.entries if entry.problem is not None]
    for entry in plan.entries:
        if entry.quote is not None:
            lines += [f"{entry.backend}: {note}" for note in filter(None, (entry.quote.unlisted, *entry.quote.notes))]
    notes = dict.fromkeys(
        f"{entry.backend}: {note}" for entry in plan.entries if entry.estimate for note in entry.estimate.notes
    )
    return [*lines, *(f"Note: {note}." for note in notes)]


def _workers(one: Estimate) -> str:
    if one.workers is None:
        return NONE
    nodes = f" on {counted(one.workers.nodes, 'node')}" if one.workers.gpus_per_node else ""
    return f"{one.workers.workers:,}{nodes}, {one.workers.strategy}"


def _computing(one: Estimate) -> str:
    return NONE if one.workers is None else _duration_text(one.workers.compute_seconds_per_step)


def _sending(one: Estimate) -> str:
    found = one.workers
    if found is None or found.seconds_per_step is None or found.bytes_per_step is None:
        return NONE
    return f"{_duration_text(found.seconds_per_step)} ({_bytes_text(round(found.bytes_per_step))})"


def _recipe_field(one: Estimate, *, name: str) -> str:
    value = one.recipe.get(name)
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _memory_part(one: Estimate, *, name: str) -> str:
    return _bytes_text(getattr(one.memory, name))


def _peak_memory(one: Estimate) -> str:
    verdict = "fits" if one.fits else "does NOT fit"
    return f"{_bytes_text(one.memory.peak)} of {_bytes_text(one.device_memory)}: {verdict}"


def _training_price(one: Quote) -> str:
    if one.training_usd_per_hour is None:
        return _usd_text(one.training_usd)
    return f"{_usd_text(one.training_usd_per_hour)} per hour"


def _deadline(day: date | None, days_left: int | None) -> str:
    return NONE if day is None or days_left is None else f"{day} ({counted(days_left, 'day')})"


def _usd_text(usd: float | None) -> str:
    return NONE if usd is None else f"${usd:,.2f}"


def _bytes_text(count: int) -> str:
    """Bytes in decimal units: ``540 MB``, ``35.2 GB``."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _duration_text(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
