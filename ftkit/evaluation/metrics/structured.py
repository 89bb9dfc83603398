"""Metrics of JSON answers: parse rate, schema validity, exact record match, and accuracy by field.

The denominator is all rows; for accuracies, all rows with a target; for rates of faults, the answers that are JSON. An
answer that is not JSON, and a row whose request failed, is wrong in every accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from typing_extensions import override

from ftkit.evaluation.metrics.metric import Metric, MetricCollection, MetricContext, RowMetric, ScoreFunction
from ftkit.results.report_row import RowResult
from ftkit.schema import JsonOutput
from ftkit.schema.comparators import Comparator, Exact
from ftkit.schema.equality import same_normalized_value, same_value

__all__ = ["FIELD_PREFIX", "JsonMetrics", "field_agreements"]

FIELD_PREFIX = "field:"
"""Prefix of the names of metrics by field."""

_ABSENT: Any = object()
_EXACT = Exact()


class JsonMetrics(MetricCollection):
    """The metrics of a JSON output; those by field only if it is an object with known fields.

    With comparators, fields count as right by them, and ``record_match`` is the share of answers with all fields right.
    """

    automatic = True

    @override
    def metrics(self, context: MetricContext) -> tuple[Metric, ...]:
        output, comparators = context.output, context.comparators
        if not isinstance(output, JsonOutput):
            return ()
        fields = output.fields()
        defaults = {name: schema["default"] for name, schema in fields.items() if "default" in schema}
        metrics: list[Metric] = [
            _rate("parse_rate", "answers that are one JSON value", _of_values(lambda row: row.readable)),
            _rate("schema_valid_rate", "answers that keep the schema entirely", _of_values(lambda row: row.valid)),
            _problem_rate("missing_field_rate", "missing_field", "JSON answers that lack a required field"),
            _problem_rate("extra_field_rate", "extra_field", "JSON answers with a field the schema does not know"),
            _problem_rate("wrong_type_rate", "wrong_type", "JSON answers with a value of the wrong type"),
            _problem_rate(
                "invalid_value_rate", "invalid_value", "JSON answers with a value outside what its field allows"
            ),
            _rate("record_exact", "answers equal to the wanted record", _record(defaults, same_value), headline_rank=1),
            _rate(
                "record_normalised",
                "answers equal to the wanted record but for case, spaces and punctuation",
                _record(defaults, same_normalized_value),
            ),
        ]
        if not fields:
            return tuple(metrics)
        if comparators:
            kinds = ", ".join(f"{name} {comparator.kind}" for name, comparator in comparators.items())
            description = f"answers with every field right ({kinds})"
            metrics.append(_rate("record_match", description, _every_field(fields, comparators), headline_rank=2))
        description = "mean over the rows of the share of fields right"
        metrics.append(_rate("mean_field_accuracy", description, _mean_agreement(fields, comparators)))
        metrics += [
            _rate(f"{FIELD_PREFIX}{name}", _description(name, comparators.get(name)), _field(name, fields, comparators))
            for name in fields
        ]
        return tuple(metrics)


def field_agreements(
    row: RowResult, fields: Mapping[str, Mapping[str, Any]], comparators: Mapping[str, Comparator]
) -> dict[str, float]:
    """Compute how far the answer agrees with the target in each field.

    Args:
        row: a row with its answer.
        fields: the output's fields with their schemas. A field that is left out counts as its schema's default.
        comparators: comparators by field; other fields are compared by equality.

    Returns:
        By field a number from 0 to 1. A field that neither side has scores 1.
    """
    return {name: _agreement(row, name, schema, comparators.get(name)) for name, schema in fields.items()}


def _agreement(row: RowResult, name: str, schema: Mapping[str, Any], comparator: Comparator | None) -> float:
    if not row.readable or not isinstance(row.value, dict):
        return 0.0
    default = schema.get("default", _ABSENT)
    target = row.target.get(name, default) if isinstance(row.target, dict) else default
    answer = row.value.get(name, default)
    if target is _ABSENT or answer is _ABSENT:
        return float(target is answer)
    return (comparator or _EXACT).agreement(answer, target)


def _field(name: str, fields: Mapping[str, Mapping[str, Any]], comparators: Mapping[str, Comparator]) -> ScoreFunction:
    return lambda row: (
        _agreement(row, name, fields[name], comparators.get(name)) if row.has_target and not row.wants_calls else None
    )


def _mean_agreement(fields: Mapping[str, Mapping[str, Any]], comparators: Mapping[str, Comparator]) -> ScoreFunction:
    def score(row: RowResult) -> float | None:
        return (
            sum(field_agreements(row, fields, comparators).values()) / len(fields)
            if row.has_target and not row.wants_calls
            else None
        )

    return score


def _every_field(fields: Mapping[str, Mapping[str, Any]], comparators: Mapping[str, Comparator]) -> ScoreFunction:
    def score(row: RowResult) -> bool | None:
        if not row.has_target or row.wants_calls:
            return None
        no_extra_field = isinstance(row.value, dict) and not row.value.keys() - fields.keys()
        return no_extra_field and min(field_agreements(row, fields, comparators).values()) >= 1

    return score


def _description(name: str, comparator: Comparator | None) -> str:
    if comparator is None:
        return f"answers whose {name} is right"
    settings = comparator.model_dump(exclude={"kind"}, exclude_defaults=True)
    listed = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"answers whose {name} is right by comparator {comparator.kind}{f' ({listed})' if listed else ''}"


def _record(defaults: Mapping[str, Any], same: Callable[[Any, Any], bool]) -> ScoreFunction:
    def score(row: RowResult) -> bool | None:
        if not row.has_target or row.wants_calls:
            return None
        return row.readable and same(_with_defaults(row.value, defaults), _with_defaults(row.target, defaults))

    return score


def _with_defaults(value: Any, defaults: Mapping[str, Any]) -> Any:
    return {**defaults, **value} if isinstance(value, dict) else value


def _problem_rate(name: str, problem: str, description: str) -> RowMetric:
    def score(row: RowResult) -> bool | None:
        return any(each.problem == problem for each in row.problems) if row.readable else None

    return RowMetric(name=name, description=description, score=score, higher_is_better=False)


def _of_values(score: Callable[[RowResult], bool]) -> ScoreFunction:
    """A score that leaves out the rows whose wanted answer is calls of tools."""
    return lambda row: None if row.wants_calls else score(row)


def _rate(name: str, description: str, score: ScoreFunction, headline_rank: int = 0) -> RowMetric:
    return RowMetric(name=name, description=description, score=score, headline_rank=headline_rank)
