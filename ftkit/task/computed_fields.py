"""Wanted answers with the fields that their class computes, as ``model_dump`` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel, RootModel, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ftkit.errors import OutputError
from ftkit.schema.json_path import json_path

__all__ = ["without_computed_fields"]


def without_computed_fields(adapter: TypeAdapter[Any], plain: Any) -> Any:
    """Leave out the values that a class computes itself, if they are those that it computes.

    Args:
        adapter: reads objects of the class.
        plain: a wanted answer as JSON data.

    Returns:
        The data without computed fields; the data itself if it has none, or the class cannot read it.

    Raises:
        OutputError: the class computes another value.
    """
    try:
        # The class is asked with other keys ignored only to find its objects; the result is validated strictly.
        value = adapter.validate_json(json.dumps(plain), extra="ignore")
    except (ValidationError, TypeError, ValueError):  # TypeError: pydantic before 2.12 has no extra
        return plain
    return _without(value, plain, [])


def _without(value: Any, plain: Any, path: list[str | int]) -> Any:
    if isinstance(value, RootModel):
        return _without(value.root, plain, path)
    if isinstance(value, BaseModel) and isinstance(plain, dict):
        return _object_without(value, plain, path)
    if isinstance(value, Mapping) and isinstance(plain, dict) and len(value) == len(plain):
        return {
            key: _without(item, part, [*path, key])
            for item, (key, part) in zip(value.values(), plain.items(), strict=True)
        }
    if isinstance(value, list | tuple) and isinstance(plain, list) and len(value) == len(plain):
        return [
            _without(item, part, [*path, number]) for number, (item, part) in enumerate(zip(value, plain, strict=True))
        ]
    return plain


def _object_without(value: BaseModel, plain: dict[str, Any], path: list[str | int]) -> dict[str, Any]:
    kind = type(value)
    computed = {key: name for name, field in kind.model_computed_fields.items() for key in (name, field.alias) if key}
    fields = {key: name for name, field in kind.model_fields.items() for key in _keys(name, field)}
    result = {}
    for key, part in plain.items():
        if key in fields:
            result[key] = _without(getattr(value, fields[key]), part, [*path, key])
        elif key in computed:
            own = value.model_dump(mode="json", include={computed[key]}).get(computed[key])
            if own != part and to_jsonable_python(getattr(value, computed[key])) != part:
                said = (
                    f"{kind.__name__} computes this field as {own!r:.80}, and the record has {part!r:.80}; leave it out"
                )
                raise OutputError(said, problem="invalid_value", path=json_path([*path, key]))
        else:
            result[key] = part
    return result


def _keys(name: str, field: Any) -> list[str]:
    alias = field.validation_alias or field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [name, *(choice for choice in choices if isinstance(choice, str))]
