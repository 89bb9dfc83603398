"""The metrics of runs: a table by step, and curves of its columns."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from ftkit.counts import counted
from ftkit.errors import ConfigError
from ftkit.extras import require
from ftkit.results.result import Result

__all__ = ["MetricCurves", "MetricLine", "MetricTable", "curves_of", "is_number"]

VALIDATION = "validation_"
"""The beginning of the names of columns that were measured on the validation rows."""
_SHOWN_FIRST = ("reward", "loss", "token_accuracy")
_MAX_POINTS = 1_000


def is_number(value: Any) -> bool:
    """Say whether a value is a finite number.

    Args:
        value: a value of a metric.

    Returns:
        Whether it can be drawn and compared. True and False are none.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class MetricLine(BaseModel):
    """One line of a plot."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    label: str
    """The run, where several are drawn, and ``validation`` for validation rows."""
    metric: str
    """Name of the metric, the same for training and validation rows."""
    validation: bool
    run: int
    """Number of the run among those that are drawn."""
    points: tuple[tuple[float, float], ...]
    """Step and value, at most 1,000."""


class MetricCurves(Result, BaseModel):
    """Curves of metrics by step, which notebooks draw. :meth:`save` writes ``.svg``, ``.html``, ``.txt``, ``.json``."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "curves"

    lines: tuple[MetricLine, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, each one plot."""
        return tuple(dict.fromkeys(line.metric for line in self.lines))

    @override
    def to_json(self) -> str:
        return self.model_dump_json(indent=1) + "\n"


class MetricTable(Result, list[dict[str, Any]]):
    """Rows of metrics: the steps of a run with its validations, or several runs. A list of mappings.

    ``print`` shows it as a table, notebooks show its curves, and :meth:`save` writes ``.csv``, ``.json``, ``.txt``,
    ``.md`` and ``.html``. Not every row has every column.

    Args:
        rows: the rows.
        beside: rows that are drawn with them and are no steps: a validation before the first step.
    """

    result_type: ClassVar[str] = "metrics"

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), *, beside: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(dict(row) for row in rows)
        self.beside = [dict(row) for row in beside]

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in the order in which the rows have them first."""
        return list(dict.fromkeys(name for row in self for name in row))

    def column(self, name: str) -> list[Any]:
        """Return a column.

        Args:
            name: its name.

        Returns:
            Its value in each row; None where a row has none.

        Raises:
            ConfigError: no row has such a column.
        """
        if self and name not in self.columns:
            raise ConfigError(f"there is no column {name!r}; the columns are {', '.join(self.columns)}")
        return [row.get(name) for row in self]

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Returns:
            The frame; a value that a row does not have is missing there.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = require("pandas", extra="pandas", needed_for="a table as a DataFrame")
        return pandas.DataFrame(list(self), columns=self.columns)

    def plot(self, *metrics: str) -> MetricCurves:
        """Draw metrics by step.

        Args:
            metrics: names of columns; the reward, the loss and the token accuracy, where there are any, by default.
                The validation rows' values are drawn with them.

        Returns:
            The curves.

        Raises:
            ConfigError: a metric has no numbers.
        """
        return curves_of([("", self)], metrics)

    def csv(self) -> str:
        """Write the table as CSV, with a header.

        Returns:
            The text.
        """
        file = io.StringIO()
        writer = csv.DictWriter(file, self.columns, lineterminator="\n")
        writer.writeheader()
        for row in self:
            writer.writerow(
                {k: json.dumps(v, ensure_ascii=False) if isinstance(v, dict | list) else v for k, v in row.items()}
            )
        return file.getvalue()

    @override
    def to_json(self) -> str:
        return json.dumps(list(self), ensure_ascii=False, indent=1) + "\n"

    @override
    def _headline(self) -> str:
        return f"{counted(len(self), 'row')}; {', '.join(self.columns)}"


def curves_of(tables: Sequence[tuple[str, MetricTable]], metrics: Sequence[str] = ()) -> MetricCurves:
    """Draw the metrics of several runs in the same plots.

    Args:
        tables: label and metrics of each run.
        metrics: as for :meth:`MetricTable.plot`.

    Returns:
        The curves.

    Raises:
        ConfigError: a metric has no numbers in any run.
    """
    columns = list(dict.fromkeys(name for _, table in tables for name in table.columns))
    wanted = [name.removeprefix(VALIDATION) for name in metrics] or [name for name in _SHOWN_FIRST if name in columns]
    lines = []
    for metric in dict.fromkeys(wanted):
        own = [
            MetricLine(
                label=" ".join(filter(None, (label, "validation" if name != metric else ""))) or "training",
                metric=metric,
                validation=name != metric,
                run=number,
                points=points,
            )
            for number, (label, table) in enumerate(tables)
            for name in (metric, VALIDATION + metric)
            if (points := _points(table, name))
        ]
        if not own and metrics:
            numeric = [name for name in columns if any(_points(table, name) for _, table in tables)]
            raise ConfigError(f"no step has a number {metric!r}; there are {', '.join(numeric) or 'no numbers yet'}")
        lines += own
    return MetricCurves(lines=tuple(lines))


def _points(table: MetricTable, name: str) -> tuple[tuple[float, float], ...]:
    points = sorted(
        (float(row["step"]), float(row[name]))
        for row in [*table.beside, *table]
        if is_number(row.get("step")) and is_number(row.get(name))
    )
    step = max(1, -(-len(points) // _MAX_POINTS))
    return tuple(points[::step] + ([points[-1]] if points and (len(points) - 1) % step else []))
