"""Metrics of structured answers: can it be read, does it keep the schema, is it right, field by field.

Every denominator is all rows (for the accuracies: all rows with a wanted answer). An answer that is not JSON, or a row
that could not be asked, is wrong in every accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ftkit.evaluation.metrics.comparators import same_value, same_value_normalised
from ftkit.evaluation.metrics.metric import Metric, RowMetric, ScoreFunction
from ftkit.evaluation.row import RowResult
from ftkit.schema import JsonOutput

__all__ = ["FIELD_PREFIX", "right_fields", "structured_metrics"]

FIELD_PREFIX = "field:"
"""Before the field's name in the names of the metrics per field."""

_ABSENT: Any = object()

Comparator = Callable[[Any, Any], bool]


def structured_metrics(output: JsonOutput) -> tuple[Metric, ...]:
    """The metrics of a JSON output; those per field only when it is an object with known fields."""
    fields = output.fields()
    defaults = {name: schema["default"] for name, schema in fields.items() if "default" in schema}
    found: list[Metric] = [
        _rate("parse_rate", "answers that are one JSON value", lambda row: row.readable),
        _rate("schema_valid_rate", "answers that keep the schema entirely", lambda row: row.valid),
        _problem_rate("missing_field_rate", "missing_field", "JSON answers that lack a required field"),
        _problem_rate("extra_field_rate", "extra_field", "JSON answers with a field the schema does not know"),
        _problem_rate("wrong_type_rate", "wrong_type", "JSON answers with a value of the wrong type"),
        _problem_rate("invalid_value_rate", "invalid_value", "JSON answers with a value outside what its field allows"),
        _rate("record_exact", "answers equal to the wanted record", _record(defaults, same_value)),
        _rate(
            "record_normalised",
            "answers equal to the wanted record but for case, spaces and punctuation",
            _record(defaults, same_value_normalised),
        ),
    ]
    if fields:
        found.append(_rate("mean_field_accuracy", "mean over the rows of the share of fields right", _mean(fields)))
        found += [
            _rate(f"{FIELD_PREFIX}{name}", f"answers whose {name} is right", _field(name, fields)) for name in fields
        ]
    return tuple(found)


def right_fields(row: RowResult, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Which of the schema's fields the answer has right. A field that neither side has is right.

    A field left out counts as the schema's default for it, where there is one.
    """
    return {name: _right(row, name, schema) for name, schema in fields.items()}


def _right(row: RowResult, name: str, schema: Mapping[str, Any]) -> bool:
    if not row.readable or not isinstance(row.value, dict):
        return False
    default = schema.get("default", _ABSENT)
    wanted = row.target.get(name, default) if isinstance(row.target, dict) else default
    given = row.value.get(name, default)
    if wanted is _ABSENT or given is _ABSENT:
        return wanted is given
    return same_value(given, wanted)


def _field(name: str, fields: Mapping[str, Mapping[str, Any]]) -> ScoreFunction:
    return lambda row: _right(row, name, fields[name]) if row.has_target else None


def _mean(fields: Mapping[str, Mapping[str, Any]]) -> ScoreFunction:
    return lambda row: sum(right_fields(row, fields).values()) / len(fields) if row.has_target else None


def _record(defaults: Mapping[str, Any], same: Comparator) -> ScoreFunction:
    def score(row: RowResult) -> bool | None:
        if not row.has_target:
            return None
        return row.readable and same(_filled(row.value, defaults), _filled(row.target, defaults))

    return score


def _filled(value: Any, defaults: Mapping[str, Any]) -> Any:
    return {**defaults, **value} if isinstance(value, dict) else value


def _problem_rate(name: str, problem: str, description: str) -> RowMetric:
    def score(row: RowResult) -> bool:
        return any(found.problem == problem for found in row.problems)

    return RowMetric(name=name, description=description, score=score, higher_is_better=False)


def _rate(name: str, description: str, score: ScoreFunction) -> RowMetric:
    return RowMetric(name=name, description=description, score=score)
