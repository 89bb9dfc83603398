"""Convert pydantic's validation errors to ftkit's errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ftkit.arguments import other_name
from ftkit.errors import ConfigError
from ftkit.schema.registered_field import RegisteredField

__all__ = ["config_error", "refusals", "unknown_field"]

_MAX_SHOWN = 40
"""Maximum number of characters of a refused value in a message."""


def config_error(error: ValidationError, model: type[BaseModel], given: Any) -> ConfigError:
    """Convert a validation error to a :class:`~ftkit.errors.ConfigError` that names the model.

    Args:
        error: pydantic's error.
        model: the class that was to be created.
        given: the values it was to be created from.

    Returns:
        The error, with the text of :func:`refusals`.
    """
    return ConfigError(f"{model.__name__}: {refusals(error, model, given)}")


def refusals(error: ValidationError, model: type[BaseModel], given: Any) -> str:
    """Describe each refused field in one sentence: its name, what is wrong, and for an unknown one which was meant.

    Pydantic lists each alternative of a field's type separately, puts their names into the path, prefixes messages of
    validators with ``Value error,`` and does not suggest similar fields.

    Args:
        error: pydantic's error.
        model: the class that was to be created.
        given: the values it was to be created from.

    Returns:
        The sentences, separated by semicolons.
    """
    found: dict[str, list[str]] = {}
    ends: dict[str, str] = {}
    for one in error.errors(include_url=False):
        *before, last = _path(one["loc"], given, whole=one["type"] in ("missing", "extra_forbidden")) or [""]
        if one["type"] == "extra_forbidden":
            what = unknown_field(last, _inside(before, given, model))
        elif one["type"] == "missing":
            what = "is missing"
        else:
            what = one["msg"].removeprefix("Value error, ").removeprefix("Input ").partition(", unable to parse")[0]
            what = what.replace("a valid tuple", "a list")
        field = ".".join([*before, last])
        found.setdefault(field, []).append(what)
        if what.startswith("should "):
            ends[field] = _given(one["input"], text=one["type"] == "string_type")
    return "; ".join(
        f"{field}{': ' if field else ''}{' or '.join([first, *(text.removeprefix('should be ') for text in others)])}"
        f"{ends.get(field, '')}"
        for field, (first, *others) in found.items()
    )


def _given(value: object, *, text: bool) -> str:
    """The given value, for the message; empty for collections, which may be long."""
    if not isinstance(value, str | int | float | None):
        return ""
    shown = repr(value) if len(repr(value)) <= _MAX_SHOWN else f"{repr(value)[:_MAX_SHOWN]}…"
    quotes = " (YAML reads a bare yes, no, on or off as a boolean: put it in quotes)"
    return f", not {shown}{quotes if text and isinstance(value, bool) else ''}"


def _path(location: Sequence[int | str], given: Any, *, whole: bool) -> list[str]:
    """The fields among pydantic's steps, without the names of alternatives between them."""
    # With `whole`, the last step is a field even if the given value lacks it.
    path = []
    for at, step in enumerate(location):
        # An element that is no object is one of the alternatives of the whole.
        listed = isinstance(given, list | tuple) and isinstance(step, int) and isinstance(given[step], Mapping)
        if listed or (isinstance(given, Mapping) and step in given):
            given = given[step]
        elif not (whole and at == len(location) - 1):
            continue
        path.append(str(step))
    return path


def _inside(path: Sequence[str], given: Any, model: type[BaseModel]) -> type[BaseModel]:
    """The model that ``path`` leads to. Of several alternatives it is the one whose tag was given."""
    for step in path:
        given = given[int(step) if isinstance(given, list | tuple) else step]
        field = model.model_fields.get(step)
        registered = (
            None if field is None else next((x for x in field.metadata if isinstance(x, RegisteredField)), None)
        )
        if registered is not None:
            model = registered.class_of(given) or registered.base
            continue
        kinds = [] if field is None else list(_models(field.annotation))
        values = given.values() if isinstance(given, Mapping) else ()
        model = next(
            (kind for kind in kinds if any(tag in values for tag in _tags(kind))), kinds[0] if kinds else model
        )
    return model


def _tags(model: type[BaseModel]) -> list[object]:
    """The values that identify the model in a union: the defaults of its ``kind`` and ``type``."""
    return [model.model_fields[name].default for name in ("kind", "type") if name in model.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def unknown_field(name: str, inside: type[BaseModel]) -> str:
    """Describe an unknown field.

    Args:
        name: the field's name.
        inside: the class that lacks it.

    Returns:
        A sentence with the field that another tool's name means, with a similar field, or with all fields.
    """
    other = other_name(name, inside.model_fields)
    if other is not None:
        return f"there is no such field in {inside.__name__}; {other}"
    close = difflib.get_close_matches(name, inside.model_fields, n=1)
    named = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(inside.model_fields)}"
    return f"there is no such field in {inside.__name__}; {named}"
