"""Runs as a table, with the fields of their recipes, their last losses and their scores; and conditions on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ftkit.errors import ConfigError
from ftkit.results.metric_table import MetricTable, is_number
from ftkit.store import Event, RunRecord, Store

__all__ = ["Condition", "run_table", "sorted_rows"]

_CONDITION = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(!=|<=|>=|=|<|>|~)(.*)", re.DOTALL)
_NUMERIC = {"<", "<=", ">", ">="}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a row of the table of runs: ``learning_rate>=1e-4``.

    Attributes:
        field: a column, or a field of the recipe such as ``adapter.alpha``.
        operator: ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, or ``~`` (contains the text).
        value: what the field is compared with.
    """

    field: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Args:
            text: ``field``, operator and value.

        Returns:
            The condition.

        Raises:
            ConfigError: it has another form, or a number is needed.
        """
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"the condition {text!r} is no condition; write field, operator and value, e.g. state=succeeded, "
                "learning_rate>=1e-4, adapter.rank=8, score>0.9, tag=baseline or name~visits"
            )
        condition = cls(found[1], found[2], found[3].strip())
        if condition.operator in _NUMERIC and condition.number is None:
            raise ConfigError(f"the condition {text!r}: {condition.operator} takes a number, not {condition.value!r}")
        return condition

    @property
    def number(self) -> float | None:
        """The value as a number; None if it is none."""
        try:
            number = float(self.value)
        except ValueError:
            return None
        return number if is_number(number) else None

    def holds(self, row: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
        """Say whether a run meets the condition. A run without the field meets only ``!=``.

        Args:
            row: its row of the table.
            recipe: its recipe.

        Returns:
            Whether it does.

        Raises:
            ConfigError: there is no such field.
        """
        value = self._value(row, recipe)
        values = value if isinstance(value, list | tuple) else [value]
        if self.operator == "!=":
            return not any(self._equals(one) for one in values)
        return any(self._compare(one) for one in values)

    def _value(self, row: Mapping[str, Any], recipe: Mapping[str, Any]) -> Any:
        field = {"tag": "tags"}.get(self.field, self.field)
        if field in row:
            return row[field]
        found: Any = recipe
        for part in field.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def _compare(self, value: Any) -> bool:
        if self.operator == "=":
            return self._equals(value)
        if self.operator == "~":
            return value is not None and self.value.casefold() in str(value).casefold()
        number = self.number
        if number is None or not is_number(value):
            return False
        orders: dict[str, Callable[[float, float], bool]] = {
            "<": lambda left, right: left < right,
            "<=": lambda left, right: left <= right,
            ">": lambda left, right: left > right,
            ">=": lambda left, right: left >= right,
        }
        return orders[self.operator](float(value), number)

    def _equals(self, value: Any) -> bool:
        if is_number(value) and self.number is not None:
            return bool(value == self.number)
        return value is not None and str(value).casefold() == self.value.casefold()


def run_table(records: Sequence[RunRecord], store: Store, where: Sequence[str] = ()) -> MetricTable:
    """Make the table of runs.

    Args:
        records: the runs.
        store: where they are recorded.
        where: conditions that a run must meet, all of them.

    Returns:
        A row for each run that meets them, in the order of the runs.

    Raises:
        ConfigError: a condition has a wrong form, or names a field that no run has.
    """
    conditions = [Condition.parse(text) for text in where]
    newest = store.newest_events(("step", "validation", "report")) if records else {}
    trained = store.newest_logs("training") if records else {}
    rows = [(_row(record, newest.get(record.id, {}), trained.get(record.id)), record) for record in records]
    for condition in conditions:
        known = any(condition._value(row, record.recipe) is not None for row, record in rows)
        columns = {"tag", *(name for row, _ in rows for name in row)}
        if rows and not known and condition.field not in columns:
            raise ConfigError(f"no run has a field {condition.field!r}; the columns are {', '.join(sorted(columns))}")
    return MetricTable(
        row for row, record in rows if all(condition.holds(row, record.recipe) for condition in conditions)
    )


def sorted_rows(table: MetricTable, by: str) -> MetricTable:
    """Sort a table of runs.

    Args:
        table: the table.
        by: a column; with ``-`` before it, the largest first.

    Returns:
        The sorted table. Runs without a value come last.

    Raises:
        ConfigError: there is no such column.
    """
    name, descending = by.removeprefix("-"), by.startswith("-")
    table.column(name)
    having = [row for row in table if row.get(name) is not None]
    lacking = [row for row in table if row.get(name) is None]
    having.sort(key=lambda row: row[name] if is_number(row[name]) else str(row[name]), reverse=descending)
    return MetricTable([*having, *lacking])


def _row(record: RunRecord, newest: Mapping[str, Event], trained: Event | None) -> dict[str, Any]:
    # What "auto" stood for when the run was trained, which a later version of ftkit may choose otherwise.
    resolved = {} if trained is None else trained.data.get("recipe", {})
    chosen = {
        name: resolved.get(name, value) if value == "auto" else value
        for name in ("learning_rate", "epochs", "batch_size")
        for value in [record.recipe.get(name)]
    }
    adapter = record.recipe.get("adapter")
    adapter = adapter if isinstance(adapter, Mapping) else {}
    step, validation, report = (
        newest[kind].data if kind in newest else {} for kind in ("step", "validation", "report")
    )
    metrics = report.get("metrics")
    score = metrics.get(report.get("primary")) if isinstance(metrics, Mapping) else None
    return {
        "id": record.id,
        "name": record.name,
        "tags": list(record.tags),
        "state": "paused" if record.state == "running" and record.handle.get("paused") else record.state,
        "backend": record.backend,
        "model": record.model,
        "kind": record.recipe.get("kind"),
        "adapter": adapter.get("kind"),
        "rank": adapter.get("rank", adapter.get("init_rank")),
        **chosen,
        "rows": record.rows,
        "step": step.get("step"),
        "steps": step.get("steps"),
        "loss": _number(step.get("loss")),
        "validation_loss": _number(validation.get("loss")),
        "reward": _number(step.get("reward")),
        "score": _number(score),
        "metric": report.get("primary"),
        "started": datetime.fromtimestamp(record.created_at).isoformat(" ", "seconds"),
        "seconds": None if record.finished_at is None else round(record.finished_at - record.created_at, 1),
        "cost_usd": _number(record.summary.get("cost_usd")),
        "notes": record.notes,
    }


def _number(value: Any) -> float | None:
    return value if is_number(value) else None
