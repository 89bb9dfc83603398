"""Convert a valid answer to an object of the user's class."""

from __future__ import annotations

import functools
from enum import Enum
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from ftkit.errors import OutputError, OutputProblem
from ftkit.schema.json_path import json_path

__all__ = ["as_python_type"]

_PROBLEMS: dict[str, OutputProblem] = {"missing": "missing_field", "extra_forbidden": "extra_field"}


def as_python_type(kind: Any, value: Any, text: str) -> Any:
    """Convert a valid answer to a Python type.

    Args:
        kind: a pydantic class, an enum of strings, or another type that pydantic can validate.
        value: the answer as a plain value. The output has validated it more strictly than pydantic would.
        text: the text of the answer.

    Returns:
        An object of the type.

    Raises:
        OutputError: a validator of the class refuses it.
    """
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    try:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind.model_validate_json(text.strip())
        return _adapter(kind).validate_json(text.strip())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        problem = _PROBLEMS.get(first["type"], "invalid_value")
        path = json_path(_steps(first["loc"], value, problem))
        raise OutputError(message, problem=problem, path=path, text=text) from error


def _adapter(kind: Any) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(kind)
    except TypeError:  # an annotation with something unhashable in it
        return TypeAdapter(kind)


@functools.lru_cache(maxsize=64)
def _cached_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _steps(loc: tuple[str | int, ...], value: Any, problem: OutputProblem) -> list[str | int]:
    """Pydantic's place without the names of union members and validators that it puts between the keys."""
    steps: list[str | int] = []
    for index, step in enumerate(loc):
        if (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        ):
            steps.append(step)
            value = value[step]  # type: ignore[index]
        elif problem == "missing_field" and index == len(loc) - 1:
            steps.append(step)
    return steps
