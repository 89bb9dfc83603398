"""Answers that are one JSON value, usually an object."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator
from typing_extensions import override

from ftkit.errors import ConfigError, OutputError
from ftkit.schema.compiled_schema import CompiledSchema, check_schema, close_top
from ftkit.schema.json_text import read_json
from ftkit.schema.json_values import to_json
from ftkit.schema.keywords import in_keyword_order
from ftkit.schema.output import Output
from ftkit.schema.schema_check import check_is_schema

__all__ = ["JsonOutput"]


class JsonOutput(Output):
    """One JSON value that a JSON Schema allows.

    When the schema names keys at the top and states no ``additionalProperties``, other keys there count as
    ``extra_field``. Below the top the schema is taken as written.

    Attributes:
        name: name of the answer where an API needs one; 1 to 64 letters, digits, ``_`` and ``-``.
        json_schema: draft 2020-12, without references to other documents. Stored with its keywords in ftkit's order.
            The order of ``properties`` has a meaning: it is the order of the keys in every target.
        fill_defaults: whether targets get the ``default`` of the keys that they lack. True for Python classes.
    """

    kind: Literal["json"] = "json"
    name: str = Field(default="answer", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    json_schema: dict[str, Any]
    fill_defaults: bool = False

    # The schema as JSON: key of the compiled rules, and what makes schemas that differ in key order differ in `==`.
    _text: str = PrivateAttr("")

    @override
    def model_post_init(self, context: Any) -> None:
        self._text = json.dumps(self.json_schema, ensure_ascii=False)

    @field_validator("json_schema", mode="before")
    @classmethod
    def _check_schema(cls, schema: Any) -> dict[str, Any]:
        if not isinstance(schema, dict):
            raise ConfigError(f"a JSON Schema is a dict, got {type(schema).__name__}")
        try:
            check_is_schema(schema)
            copied = json.loads(json.dumps(schema, allow_nan=False))
            check_schema(copied)
            ordered: dict[str, Any] = in_keyword_order(copied)
        except RecursionError:
            raise ConfigError("the JSON Schema is nested too deep") from None
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"the JSON Schema is not plain JSON data: {error}") from error
        return ordered

    def __hash__(self) -> int:
        return hash((self.name, self._text, self.fill_defaults))

    @property
    def _compiled(self) -> CompiledSchema:
        return CompiledSchema.of(self._text, self.fill_defaults)

    @property
    def closed_schema(self) -> dict[str, Any]:
        """The schema with other keys at the top refused where it does not mention them; answers are held to it."""
        return close_top(self.json_schema)

    @override
    def describe(self) -> str:
        return self._compiled.prompt

    @override
    def fields(self) -> dict[str, dict[str, Any]]:
        return {
            key: part if isinstance(part, dict) else {}
            for key, part in self._compiled.top.get("properties", {}).items()
        }

    @override
    def format(self, value: Any) -> str:
        plain = self.plain(value)
        for problem in self._compiled.problems(plain):
            raise problem
        return json.dumps(self._compiled.ordered(plain), ensure_ascii=False)

    def plain(self, value: Any) -> Any:
        """Convert a wanted answer to JSON data, which the schema may refuse.

        Args:
            value: the answer as a plain value, its JSON as text, or an object.

        Returns:
            The data.

        Raises:
            OutputError: JSON cannot hold it, or it is a text that is neither JSON nor a value that the schema allows.
        """
        plain = to_json(value)
        # A text is the value itself where the schema allows a string, else the answer as JSON.
        return read_json(plain) if isinstance(plain, str) and not self._compiled.accepts(plain) else plain

    def accepts(self, value: Any) -> bool:
        """Return whether the schema allows a value.

        Args:
            value: JSON data.

        Returns:
            Whether it does.
        """
        return self._compiled.accepts(value)

    def ordered(self, value: Any) -> Any:
        """Put a valid answer into its canonical form: keys in the schema's order, decimals in one spelling.

        Args:
            value: JSON data that the schema allows.

        Returns:
            A copy; of a Python class' schema with the defaults of missing keys.
        """
        return self._compiled.ordered(value)

    @override
    def problems(self, text: str) -> list[OutputError]:
        try:
            value = read_json(text)
        except OutputError as error:
            return [error]
        return self._compiled.problems(value, text)

    @override
    def parse(self, text: str) -> Any:
        value = read_json(text)
        for problem in self._compiled.problems(value, text):
            raise problem
        return value
