"""Plans in a terminal: quantities down, backends across."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftkit.engine.estimate import Estimate
from ftkit.planning.plan import Plan

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["plan_table", "plan_text"]

_RECIPE = ("epochs", "batch_size", "learning_rate", "max_batch_tokens", "precision", "optimizer")
_PARTS = ("weights", "adapters", "gradients", "optimizer", "activations", "logits", "workspace", "allocator", "process")


def plan_text(plan: Plan) -> str:
    """The plan as lines of text."""
    lines = [f"{plan.rows:,} rows"]
    rows = _rows(plan)
    if rows:
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
    return Group(Text(f"{plan.rows:,} rows", style="bold"), table, *below)


def _rows(plan: Plan) -> list[list[str]]:
    """A header and one row a quantity; empty when no backend could say anything."""
    known = [(entry.backend, entry.estimate) for entry in plan.entries if entry.estimate is not None]
    if not known:
        return []
    rows = [["", *(name for name, _ in known)]]
    for label, cell in _quantities():
        rows.append([label, *(cell(estimate) for _, estimate in known)])
    return rows


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
        ("peak memory", _peak),
        ("tokens an epoch", lambda one: f"{one.tokens_per_epoch:,}"),
        ("  computed", lambda one: f"{one.computed_tokens_per_epoch:,}"),
        ("steps", lambda one: f"{one.steps:,}"),
        ("time a step", lambda one: _time(one.seconds_per_step)),
        ("time in all", lambda one: _time(one.seconds)),
    ]
    return found


def _below(plan: Plan) -> list[str]:
    lines = [f"{entry.backend}: no estimate: {entry.problem}" for entry in plan.entries if entry.estimate is None]
    notes = {
        f"{entry.backend}: {note}": None for entry in plan.entries if entry.estimate for note in entry.estimate.notes
    }
    return [*lines, *(f"Note: {note}." for note in notes)]


def _peak(one: Estimate) -> str:
    verdict = "fits" if one.fits else "does NOT fit"
    return f"{_size(one.memory.peak)} of {_size(one.device_memory)}: {verdict}"


def _value(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _size(count: int) -> str:
    """Bytes in decimal units: ``540 MB``, ``35.2 GB``."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
