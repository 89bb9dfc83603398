"""The JSON Schema of a Python type, as targets and prompts need it."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

from ftkit.errors import ConfigError
from ftkit.schema.decimal_form import decimal_pattern
from ftkit.schema.keywords import ANNOTATIONS, subschemas
from ftkit.schema.object_json import read_name
from ftkit.schema.references import inline_references

__all__ = ["json_schema_of"]


def json_schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema of a pydantic class, dataclass, TypedDict or any other type that pydantic supports.

    Objects allow no other keys, unless their class says ``extra="allow"``. References are inlined, except recursive
    ones. Generated titles and the docstrings of classes are left out, because they are written for programmers; the
    descriptions of fields stay.

    Args:
        kind: the type.

    Returns:
        The schema, draft 2020-12.

    Raises:
        ConfigError: pydantic cannot describe the type, a default differs from one call to the next, or a field is read
            only from a place inside another key.
    """
    try:
        schema = TypeAdapter(kind).json_schema(schema_generator=_Generator)
    except PydanticSchemaGenerationError as error:
        raise ConfigError(f"{_name(kind)} is not a type that pydantic can describe: {_first_line(error)}") from error
    except PydanticUserError as error:
        raise ConfigError(f"{_name(kind)} has no JSON Schema: {_first_line(error)}") from error
    return inline_references(schema)


class _Generator(GenerateJsonSchema):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._classes: list[type] = []

    def generate(self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        json_schema = super().generate(schema, mode)
        for cls in self._classes:
            _refuse_paths(cls)
        # Only here, as pydantic puts names and docstrings on after the methods for single classes have returned.
        for part in subschemas(json_schema):
            for cls in self._classes:
                _remove_title_and_docstring(part, cls)
            _normalize_wrappers(part)
        return json_schema

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return self._closed(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return self._closed(super().dataclass_schema(schema), schema["cls"])

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return self._closed(super().typed_dict_schema(schema), schema.get("cls"))

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        self._classes.append(schema["cls"])
        return super().enum_schema(schema)

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        json_schema = super().tagged_union_schema(schema)
        json_schema.pop("discriminator", None)  # OpenAPI's, and it points to definitions that are written out
        return json_schema

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        # Pydantic's own pattern for the text differs between its releases and states the precision in some of them.
        number, _ = super().decimal_schema(schema)["anyOf"]
        text = {"type": "string", "pattern": decimal_pattern(schema.get("decimal_places"), schema.get("max_digits"))}
        return {"anyOf": [number, text]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        factory: Any = schema.get("default_factory")
        if factory is None:
            return super().default_schema(schema)
        try:
            first, second = to_jsonable_python(factory()), to_jsonable_python(factory())
        except Exception as error:
            raise ConfigError(
                f"a default_factory ({_name(factory)}) gives no value without the other fields ({error}), so targets "
                "cannot be filled in from it; give the field a plain default"
            ) from error
        if first != second:
            raise ConfigError(
                f"a default_factory ({_name(factory)}) gives another value each time ({first!r}, {second!r}), so no "
                "target could be made twice; give the field a plain default such as None"
            )
        return {**self.generate_inner(schema["schema"]), "default": first}

    def _closed(self, schema: JsonSchemaValue, cls: type | None) -> JsonSchemaValue:
        """``schema`` of ``cls`` with other keys refused, unless it says otherwise."""
        if cls is not None:
            self._classes.append(cls)
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        return schema


def _refuse_paths(cls: type) -> None:
    """Refuse a field without a key of its own: an answer by the JSON Schema would not be read."""
    if not issubclass(cls, BaseModel) or cls.model_config.get("populate_by_name"):
        return
    by_name = cls.model_config.get("validate_by_name") or cls.model_config.get("validate_by_alias") is False
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        if alias is not None and not by_name and not isinstance(alias, str) and read_name(name, field) is None:
            raise ConfigError(
                f"{cls.__name__}.{name} is read only from a place inside another key (AliasPath), and an answer has "
                'its fields side by side; give it a key of its own: AliasChoices("key", AliasPath(…))'
            )


def _remove_title_and_docstring(schema: JsonSchemaValue, cls: type) -> None:
    """Remove the name and the docstring of ``cls`` from its own schema."""
    if schema.get("title") != cls.__name__:
        return
    del schema["title"]
    if cls.__doc__ and schema.get("description") == inspect.cleandoc(cls.__doc__):
        del schema["description"]


def _normalize_wrappers(schema: JsonSchemaValue) -> None:
    """Unwrap what older releases of pydantic wrap or repeat, so that fingerprints agree with newer ones."""
    if "const" in schema and schema.get("enum") == [schema["const"]]:
        del schema["enum"]
    if len(schema.get("allOf", [])) == 1 and ANNOTATIONS.issuperset(schema.keys() - {"allOf", "$defs"}):
        (wrapped,) = schema.pop("allOf")
        for keyword, value in wrapped.items():
            schema.setdefault(keyword, value)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or repr(kind)
