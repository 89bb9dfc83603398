"""Answers that are one JSON value, mostly an object."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from ftkit.errors import ConfigError, OutputError
from ftkit.schema.compiled_schema import Rules, check_schema
from ftkit.schema.json_text import read_json
from ftkit.schema.json_values import to_json
from ftkit.schema.keywords import in_keyword_order
from ftkit.schema.output import Output
from ftkit.schema.schema_check import refuse_mistaken

__all__ = ["JsonOutput"]


class JsonOutput(Output):
    """One JSON value that a JSON Schema allows.

    When the schema names keys at the top and states no ``additionalProperties``, other keys there count as
    ``extra_field``. Below the top the schema is taken as written.

    Attributes:
        name: what the answer is called where a name is needed; 1 to 64 letters, digits, ``_`` and ``-``.
        json_schema: draft 2020-12, standing on its own; kept with its keywords in ftkit's order. The order of
            ``properties`` has a meaning: it is the order of the keys in every target.
        fill_defaults: targets get the ``default`` of the keys that they lack. On for Python classes.
    """

    kind: Literal["json"] = "json"
    name: str = Field(default="answer", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    json_schema: dict[str, Any]
    fill_defaults: bool = False

    # The schema as JSON: key of the compiled rules, and what makes schemas that differ in key order differ in `==`.
    _text: str = PrivateAttr("")

    def model_post_init(self, context: Any) -> None:
        self._text = json.dumps(self.json_schema, ensure_ascii=False)

    @field_validator("json_schema", mode="before")
    @classmethod
    def _well_formed(cls, schema: Any) -> dict[str, Any]:
        if not isinstance(schema, dict):
            raise ConfigError(f"a JSON Schema is a dict, got {type(schema).__name__}")
        refuse_mistaken(schema)
        try:
            copied = json.loads(json.dumps(schema, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"the JSON Schema is not plain JSON data: {error}") from error
        check_schema(copied)
        found: dict[str, Any] = in_keyword_order(copied)
        return found

    def __hash__(self) -> int:
        return hash((self.name, self._text, self.fill_defaults))

    @property
    def _rules(self) -> Rules:
        return Rules.of(self._text, self.fill_defaults)

    def describe(self) -> str:
        """The keys with their types, in order, or the schema itself when it cannot be put in words."""
        return self._rules.wording

    def fields(self) -> dict[str, dict[str, Any]]:
        """The top-level keys with their schemas, references written out; empty unless the answer is an object."""
        return {
            key: part if isinstance(part, dict) else {} for key, part in self._rules.top.get("properties", {}).items()
        }

    def format(self, value: Any) -> str:
        """The canonical text: keys in the schema's order, ``", "`` and ``": "`` between, no escapes for non-ASCII.

        Args:
            value: a dict or other plain value, a pydantic object or dataclass, or the answer as JSON text (a string
                is the value itself where the schema allows a string).

        Raises:
            OutputError: the schema does not allow it.
        """
        rules = self._rules
        found = to_json(value)
        if isinstance(found, str) and not rules.accepts(found):
            found = read_json(found)
        for problem in rules.problems(found):
            raise problem
        return json.dumps(rules.ordered(found), ensure_ascii=False)

    def problems(self, text: str) -> list[OutputError]:
        """``not_json`` alone, or every missing, extra, mistyped or disallowed value with its path."""
        try:
            value = read_json(text)
        except OutputError as error:
            return [error]
        return self._rules.problems(value, text)

    def parse(self, text: str) -> Any:
        """The JSON value.

        Raises:
            OutputError: the first of :meth:`problems`.
        """
        value = read_json(text)
        for problem in self._rules.problems(value, text):
            raise problem
        return value
