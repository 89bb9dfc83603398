"""What rows can be filtered by besides whether they are right: kind of failure, field, choice, group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.evaluation.metrics import field_agreements
from ftkit.results.confusion import INVALID
from ftkit.results.report_row import RowResult
from ftkit.results.row_failure import FAILURE_KINDS, failure_kind
from ftkit.schema.comparators import Comparator

__all__ = ["Facet", "RowFacets", "link_to"]

_MAX_OPTIONS = 400
_MANY_GROUPS = 0.8
"""If there are nearly as many groups as rows, no one filters by group."""


@dataclass(frozen=True, slots=True)
class Facet:
    """A list to choose from.

    Attributes:
        name: Its id in the page.
        label: What it filters by.
        options: Value, text and number of rows of each option.
    """

    name: str
    label: str
    options: list[tuple[str, str, int]]


class RowFacets:
    """The facets of the rows of one or several reports.

    Args:
        primary: Name of the headline metric.
        higher_is_better: Which direction of that metric is good.
        fields: Fields of a JSON output.
        comparators: Their comparators.
        choices: The choices of a choice output.
    """

    def __init__(
        self,
        primary: str,
        higher_is_better: bool,
        fields: Mapping[str, Any],
        comparators: Mapping[str, Comparator],
        choices: Sequence[str],
    ) -> None:
        self._primary, self._fields, self._comparators = primary, fields, comparators
        self._higher_is_better = higher_is_better
        self._values: dict[str, dict[str, int]] = {
            "failure": {kind: at for at, kind in enumerate(FAILURE_KINDS)},
            "field": {name: at for at, name in enumerate(fields)},
            "wanted": {choice: at for at, choice in enumerate(choices)},
            "answered": {choice: at for at, choice in enumerate((*choices, INVALID))} if choices else {},
            "group": {},
        }
        self._counts: Counter[tuple[str, int]] = Counter()
        self._rows = 0

    def of(self, rows: Sequence[RowResult]) -> dict[str, str]:
        """Find the values of one row, by which it is filtered.

        Args:
            rows: The row in each report; the last one decides the kind of failure and the answered choice.

        Returns:
            For each facet, the numbers of its values, separated by spaces.
        """
        last = rows[-1]
        choices = self._values["wanted"]
        answered = last.value if last.valid and isinstance(last.value, str) and last.value in choices else INVALID
        wrong = {name for row in rows for name in self._wrong_fields(row)}
        kind = failure_kind(last, self._primary, higher_is_better=self._higher_is_better)
        found: dict[str, Collection[str]] = {
            "failure": [] if kind is None else [kind],
            "field": wrong,
            "wanted": [last.target] if isinstance(last.target, str) and last.target in choices else [],
            "answered": [answered],
            "group": [] if last.group is None else [last.group],
        }
        self._rows += 1
        numbered = {}
        for facet, values in found.items():
            known = self._values[facet]
            if facet == "group":
                for value in values:
                    known.setdefault(value, len(known))
            numbers = sorted(known[value] for value in values if value in known)
            self._counts.update((facet, number) for number in numbers)
            if numbers:
                numbered[facet] = " ".join(map(str, numbers))
        return numbered

    def facets(self) -> list[Facet]:
        """List the facets with more than one value, after all rows were given to :meth:`of`.

        Returns:
            The facets.
        """
        labels = {
            "failure": "kind of failure",
            "field": "wrong field",
            "wanted": "wanted choice",
            "answered": "answered choice",
            "group": "group",
        }
        found = []
        for name, label in labels.items():
            options = [
                (str(number), text, self._counts[name, number])
                for text, number in self._values[name].items()
                if self._counts[name, number]
            ]
            if name == "group" and (len(options) > _MANY_GROUPS * self._rows or len(options) > _MAX_OPTIONS):
                continue
            if options and (len(options) > 1 or name in ("failure", "field")):
                found.append(Facet(name, label, options))
        return found

    def _wrong_fields(self, row: RowResult) -> list[str]:
        if not row.has_target or not self._fields:
            return []
        agreements = field_agreements(row, self._fields, self._comparators)
        return [name for name, share in agreements.items() if share < 1]


def link_to(metric: str, *, primary: str, fields: Collection[str], choices: Sequence[str]) -> str:
    """Say which rows a metric's name links to.

    Args:
        metric: Name of the metric.
        primary: Name of the headline metric.
        fields: Fields of a JSON output.
        choices: The choices of a choice output.

    Returns:
        A filter such as ``field=3`` for the page's script; empty if no rows show this metric.
    """
    kinds = list(FAILURE_KINDS)
    part, _, name = metric.partition(":")
    faults = {
        "parse_rate": "not readable",
        "valid_rate": "not readable",
        "missing_field_rate": "missing field",
        "extra_field_rate": "extra field",
        "wrong_type_rate": "wrong type",
        "invalid_value_rate": "invalid value",
    }
    if metric == primary:
        return "filter=wrong"
    if metric in faults:
        return f"failure={kinds.index(faults[metric])}"
    if part == "field" and name in fields:
        return f"field={list(fields).index(name)}"
    if name in choices and part in ("recall", "precision", "f1"):
        return f"{'answered' if part == 'precision' else 'wanted'}={list(choices).index(name)}"
    return ""
