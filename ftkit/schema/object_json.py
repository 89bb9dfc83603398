"""Objects of Python classes as the JSON data from which their classes read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from decimal import Decimal
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from ftkit.schema.decimal_form import DecimalForm

__all__ = ["object_json", "read_name", "sorted_items"]


_SHORTEST = DecimalForm(places=None, digits=None, bounds={}, others=())


def object_json(value: Any) -> Any:
    """Convert a value to JSON data from which its class can be validated again.

    Pydantic writes objects for readers: under their serialisation aliases, with computed fields, and sets in the order
    of Python's hash seed. An answer is read by its class, so here its keys are those from which the class is validated
    (the first of several), computed fields are left out, sets are sorted, and decimals have their shortest text: the
    order of a set must not depend on how its decimals were spelled. Custom serialisers are used.

    Args:
        value: the value.

    Returns:
        Dicts, lists, strings, numbers, booleans and None.

    Raises:
        PydanticSerializationError, ValueError, TypeError, RecursionError: JSON cannot hold the value.
    """
    return _as_read(value, to_jsonable_python(value, by_alias=False, round_trip=True))


def _as_read(value: Any, written: Any) -> Any:
    """What pydantic has written of a value, with the keys of validation and sorted sets."""
    if isinstance(value, Secret | SecretStr | SecretBytes):
        raise TypeError("a secret is written as asterisks; make the field a str")
    if isinstance(value, RootModel):
        return _as_read(value.root, written)
    if isinstance(value, Decimal):
        return _SHORTEST.text(written) or written if isinstance(written, str) else written
    if isinstance(written, dict):
        if isinstance(value, BaseModel):
            return _fields(value, written, type(value).model_fields)
        if is_dataclass(value) and not isinstance(value, type):
            return _fields(value, written, getattr(type(value), "__pydantic_fields__", {}))
        if isinstance(value, Mapping) and len(value) == len(written):
            pairs = zip(value.items(), written.items(), strict=True)
            return {_as_read(name, key): _as_read(item, part) for (name, item), (key, part) in pairs}
    elif isinstance(written, list):
        if isinstance(value, set | frozenset) and len(value) == len(written):
            return sorted_items(_as_read(item, part) for item, part in zip(value, written, strict=True))
        if isinstance(value, list | tuple) and len(value) == len(written):
            return [_as_read(item, part) for item, part in zip(value, written, strict=True)]
    return written


def _fields(value: Any, written: dict[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    by_name = isinstance(value, BaseModel) and value.model_config.get("validate_by_alias") is False
    result = {}
    for name, part in written.items():
        field = fields.get(name)
        item = getattr(value, name, part)
        result[name if field is None or by_name else read_name(name, field) or name] = _as_read(item, part)
    for name, field in fields.items():  # left out of what the class writes, and needed to read it
        if field.exclude is True and name not in written:
            result[name if by_name else read_name(name, field) or name] = object_json(getattr(value, name))
    return result


def read_name(name: str, field: FieldInfo) -> str | None:
    """Return the key from which a field is validated: the first one, as in the JSON Schema of its class.

    Args:
        name: the field's name.
        field: the field.

    Returns:
        The key; None if the field is read only from a place inside another key.
    """
    alias = field.validation_alias or field.alias
    if alias is None:
        return name
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    for choice in choices:
        if isinstance(choice, str):
            return choice
        if isinstance(choice, AliasPath) and len(choice.path) == 1 and isinstance(choice.path[0], str):
            return choice.path[0]
    return None


def sorted_items(items: Iterable[Any]) -> list[Any]:
    """Sort the items of a set, which have no order of their own: numbers by size, then others by their JSON.

    Args:
        items: JSON data.

    Returns:
        The items, in an order that does not depend on the process.
    """

    def key(item: Any) -> tuple[int, float, str]:
        if isinstance(item, int | float) and not isinstance(item, bool):
            return 0, item, ""
        return 1, 0.0, item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, sort_keys=True)

    return sorted(items, key=key)
