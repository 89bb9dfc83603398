"""Grade a JSON answer by its validity against a schema and by its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from ftkit.errors import ConfigError, OutputError
from ftkit.graders.base import Grader, GraderContext, Pair
from ftkit.graders.grade import Grade, GradingError, Sample
from ftkit.graders.template import Template
from ftkit.schema import JsonOutput, output_of
from ftkit.schema.equality import same_value
from ftkit.schema.json_path import json_path
from ftkit.schema.json_text import read_json

__all__ = ["SchemaGrader"]

_ABSENT: Any = object()


class SchemaGrader(Grader):
    """Grade a JSON answer from 0 to 1 by a weighted mean of three parts.

    The parts are: the answer is one JSON value; it is valid against the schema; the share of its fields that are right.
    A field is right if it equals the reference's field; without a reference, if it is present and valid.
    ``Grade.parts`` has ``json``, ``schema`` and every field. No host takes this type.

    Raises:
        ConfigError: the schema is unusable, all weights are 0, or a weight names a field that the schema lacks.
    """

    own: ClassVar[bool] = True
    type: Literal["schema"] = "schema"
    name: str = "schema"
    json_schema: dict[str, Any]
    """A JSON Schema; or, in Python, a pydantic class."""
    reference: str | None = None
    """The right record as one variable: ``"{{item.record}}"``, an object or JSON text. None grades validity only."""
    json_weight: float = Field(default=0.1, ge=0)
    """Weight of being one JSON value."""
    schema_weight: float = Field(default=0.2, ge=0)
    """Weight of being valid against the schema."""
    fields_weight: float = Field(default=0.7, ge=0)
    """Weight of the share of right fields."""
    field_weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each field among the fields; the default is 1."""

    @field_validator("json_schema", mode="before")
    @classmethod
    def _schema_of(cls, given: object) -> object:
        if isinstance(given, dict):
            return JsonOutput(json_schema=given).json_schema
        output = output_of(given)[0]
        if not isinstance(output, JsonOutput):
            raise ConfigError(f"{given!r} is not a JSON output; pass a pydantic class or a JSON Schema")
        return output.json_schema

    @model_validator(mode="after")
    def _fits(self) -> SchemaGrader:
        fields = self._output.fields()
        unknown = self.field_weights.keys() - fields.keys()
        if unknown:
            raise ConfigError(
                f"field_weights: the schema has no {', '.join(sorted(unknown))}; it has {', '.join(fields)}"
            )
        if any(not weight >= 0 for weight in self.field_weights.values()):
            raise ConfigError("field_weights: a weight must be 0 or more")
        if self.json_weight + self.schema_weight + (self.fields_weight if self._weights() else 0) <= 0:
            raise ConfigError("every weight is 0, so every grade would be 0; set at least one weight")
        if self.reference is not None:
            found = Template.of(self.reference)
            if len(found.paths) != 1 or self.reference.strip() != f"{{{{{self.reference.strip()[2:-2]}}}}}":
                raise ConfigError('reference: write exactly one variable, such as "{{item.record}}"')
        return self

    @property
    def _output(self) -> JsonOutput:
        return JsonOutput(json_schema=self.json_schema)

    def _weights(self) -> dict[str, float]:
        weights = {name: self.field_weights.get(name, 1.0) for name in self._output.fields()}
        return weights if any(weights.values()) else {}

    @property
    @override
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    @override
    def reads(self) -> frozenset[str]:
        return frozenset() if self.reference is None else Template.of(self.reference).columns

    @override
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        self.check(setting)
        output, weights = self._output, self._weights()
        found = []
        for item, sample in pairs:
            try:
                found.append(self._grade(item, sample, output, weights))
            except GradingError as error:
                found.append(error.grade)
        return found

    def _grade(
        self, item: Mapping[str, Any], sample: Sample, output: JsonOutput, weights: Mapping[str, float]
    ) -> Grade:
        wanted = None if self.reference is None else self._wanted(item, sample)
        try:
            value, readable = read_json(sample.text), True
        except OutputError:
            value, readable = None, False
        problems = output.problems(sample.text)
        right = dict.fromkeys(weights, 0.0)
        if readable and isinstance(value, dict):
            if wanted is None:
                right = {name: float(name in value and not _faulty(name, problems)) for name in weights}
            else:
                right = {name: float(_same(value, wanted, name)) for name in weights}
        parts = {"json": float(readable), "schema": float(readable and not problems), **right}
        share = (
            sum(right[name] * weight for name, weight in weights.items()) / sum(weights.values()) if weights else 0.0
        )
        fields_weight = self.fields_weight if weights else 0.0
        total = self.json_weight + self.schema_weight + fields_weight
        summed = parts["json"] * self.json_weight + parts["schema"] * self.schema_weight + share * fields_weight
        return Grade(summed / total, parts)

    def _wanted(self, item: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
        found = Template.of(self.reference or "").paths[0].value(item, sample)
        if isinstance(found, str):
            try:
                found = read_json(found)
            except OutputError as error:
                raise GradingError("invalid_variable_error", f"{self.reference}: {error.message}") from None
        if not isinstance(found, dict):
            raise GradingError("invalid_variable_error", f"{self.reference} is not an object")
        return found


def _same(value: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> bool:
    given, right = value.get(name, _ABSENT), wanted.get(name, _ABSENT)
    return given is right if _ABSENT in (given, right) else same_value(given, right)


def _faulty(name: str, problems: Sequence[OutputError]) -> bool:
    """Return whether a problem lies at the field or inside it."""
    place = json_path([name])
    return any(one.path == place or one.path.startswith((f"{place}.", f"{place}[")) for one in problems)
