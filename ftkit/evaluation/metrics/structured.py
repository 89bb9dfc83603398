"""Metrics of structured answers: can it be read, does it keep the schema, is it right, field by field.

Every denominator is all rows (for the accuracies: all rows with a wanted answer). An answer that is not JSON, or a row
that could not be asked, is wrong in every accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ftkit.evaluation.metrics.metric import Metric, RowMetric, ScoreFunction
from ftkit.results.report_row import RowResult
from ftkit.schema import JsonOutput
from ftkit.schema.comparators import Comparator, Exact
from ftkit.schema.equality import same_value, same_value_normalised

__all__ = ["FIELD_PREFIX", "field_agreements", "structured_metrics"]

FIELD_PREFIX = "field:"
"""Before the field's name in the names of the metrics per field."""

_ABSENT: Any = object()
_EXACT = Exact()

Same = Callable[[Any, Any], bool]


def structured_metrics(output: JsonOutput, comparators: Mapping[str, Comparator] | None = None) -> tuple[Metric, ...]:
    """The metrics of a JSON output; those per field only when it is an object with known fields.

    With ``comparators`` fields count as right by them, and ``record_match`` is the share of answers with all right.
    """
    fields, chosen = output.fields(), comparators or {}
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
        if chosen:
            kinds = ", ".join(f"{name} {comparator.kind}" for name, comparator in chosen.items())
            found.append(_rate("record_match", f"answers with every field right ({kinds})", _all(fields, chosen)))
        found.append(
            _rate("mean_field_accuracy", "mean over the rows of the share of fields right", _mean(fields, chosen))
        )
        found += [
            _rate(f"{FIELD_PREFIX}{name}", _says(name, chosen.get(name)), _field(name, fields, chosen))
            for name in fields
        ]
    return tuple(found)


def field_agreements(
    row: RowResult, fields: Mapping[str, Mapping[str, Any]], comparators: Mapping[str, Comparator]
) -> dict[str, float]:
    """How right the answer has each of the schema's fields, from 0 to 1. A field that neither side has is right.

    A field left out counts as the schema's default for it, where there is one.
    """
    return {name: _agreement(row, name, schema, comparators.get(name)) for name, schema in fields.items()}


def _agreement(row: RowResult, name: str, schema: Mapping[str, Any], comparator: Comparator | None) -> float:
    if not row.readable or not isinstance(row.value, dict):
        return 0.0
    default = schema.get("default", _ABSENT)
    wanted = row.target.get(name, default) if isinstance(row.target, dict) else default
    given = row.value.get(name, default)
    if wanted is _ABSENT or given is _ABSENT:
        return float(wanted is given)
    return (comparator or _EXACT).agreement(given, wanted)


def _field(name: str, fields: Mapping[str, Mapping[str, Any]], comparators: Mapping[str, Comparator]) -> ScoreFunction:
    return lambda row: _agreement(row, name, fields[name], comparators.get(name)) if row.has_target else None


def _mean(fields: Mapping[str, Mapping[str, Any]], comparators: Mapping[str, Comparator]) -> ScoreFunction:
    def score(row: RowResult) -> float | None:
        return sum(field_agreements(row, fields, comparators).values()) / len(fields) if row.has_target else None

    return score


def _all(fields: Mapping[str, Mapping[str, Any]], comparators: Mapping[str, Comparator]) -> ScoreFunction:
    def score(row: RowResult) -> bool | None:
        if not row.has_target:
            return None
        whole = isinstance(row.value, dict) and not row.value.keys() - fields.keys()
        return whole and min(field_agreements(row, fields, comparators).values()) >= 1

    return score


def _says(name: str, comparator: Comparator | None) -> str:
    if comparator is None:
        return f"answers whose {name} is right"
    settings = comparator.model_dump(exclude={"kind"}, exclude_defaults=True)
    listed = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"answers whose {name} is right by comparator {comparator.kind}{f' ({listed})' if listed else ''}"


def _record(defaults: Mapping[str, Any], same: Same) -> ScoreFunction:
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
