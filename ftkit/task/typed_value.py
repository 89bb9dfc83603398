"""Convert a valid answer to an object of the user's class, and the object to the one form of the answer."""

from __future__ import annotations

import contextlib
import functools
import json
from enum import Enum
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from ftkit.errors import OutputError, OutputProblem
from ftkit.schema import JsonOutput, Output
from ftkit.schema.json_path import json_path
from ftkit.schema.object_json import object_json, read_name
from ftkit.task.computed_fields import without_computed_fields

__all__ = ["aligned_value", "as_python_type", "plain_value", "read_otherwise", "target_text"]

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


def target_text(output: JsonOutput, kind: Any, value: Any) -> str:
    """Write a wanted answer in the one form that all equal objects of its class have.

    Args:
        output: the task's output.
        kind: the class.
        value: a plain value, its JSON as text, or an object of the class. It may have whatever keys and spellings the
            class reads, as long as it is not another type of value: ``"3"`` is no integer.

    Returns:
        The text.

    Raises:
        OutputError: the output does not allow the value, or a validator of the class refuses it.
    """
    plain = output.plain(value)
    try:
        text = output.format(plain)
    except OutputError as error:
        plain = without_computed_fields(_adapter(kind), plain)
        otherwise = read_otherwise(output, kind, json.dumps(plain, ensure_ascii=False), error)
        if otherwise is None:
            raise
        return otherwise[1]
    answer = as_python_type(kind, json.loads(text), text)
    return _one_form(output, kind, answer) or text


def plain_value(output: Output, kind: Any, text: str) -> Any:
    """Parse a model's text to a plain value in the one form that equal answers have.

    Args:
        output: the task's output.
        kind: the class; None if it is not known.
        text: the text.

    Returns:
        JSON data, a choice or a text.

    Raises:
        OutputError: the text is not a valid answer.
    """
    try:
        value: Any = output.parse(text)
    except OutputError as error:
        otherwise = read_otherwise(output, kind, text, error)
        if otherwise is None:
            raise
        return json.loads(otherwise[1])
    if not isinstance(output, JsonOutput) or not output.fill_defaults:  # a schema without a class
        return value
    form = None
    if kind is not None:
        with contextlib.suppress(OutputError):  # a validator of the class; the schema allows the answer
            form = _one_form(output, kind, as_python_type(kind, value, text))
    return output.ordered(value) if form is None else json.loads(form)


def read_otherwise(output: Output, kind: Any, text: str, error: OutputError) -> tuple[Any, str] | None:
    """Read an answer that the output's schema refuses, and that the class reads: other keys, another spelling.

    Args:
        output: the task's output.
        kind: the class; None if it is not known.
        text: the answer.
        error: why the schema refuses it.

    Returns:
        The object and its one form, which the schema allows; None if the class refuses the answer, too. Keys that the
        class ignores and values of another type count as refused.

    Raises:
        OutputError: the class would read the answer but for keys that it does not know. The schema's own error would
            name a key as missing that the answer has under another name.
    """
    if kind is None or not isinstance(output, JsonOutput) or error.problem == "not_json":
        return None
    try:
        answer = _adapter(kind).validate_json(text.strip(), strict=True, extra="forbid")
    except ValidationError as refused:
        _explain_other_keys(refused, text, error)
        return None
    except TypeError:  # pydantic before 2.12 has no extra
        return None
    form = _one_form(output, kind, answer)
    return None if form is None else (answer, form)


def aligned_value(kind: Any, value: Any, target: Any) -> Any:
    """Write an answer as its target is written wherever the class says that both are equal.

    Two spellings of one moment are equal as objects, and not as texts.

    Args:
        kind: the class.
        value: the answer as JSON data in its one form.
        target: the wanted answer, likewise.

    Returns:
        The target, or the answer with the target's value for each top-level field that is equal.
    """
    if value == target:
        return value
    try:
        answer, wanted = (as_python_type(kind, one, json.dumps(one, ensure_ascii=False)) for one in (value, target))
        if type(answer) is type(wanted) and answer == wanted:
            return target
        if not isinstance(answer, BaseModel) or type(answer) is not type(wanted) or not isinstance(value, dict):
            return value
        aligned = dict(value)
        for name, field in type(answer).model_fields.items():
            key = read_name(name, field)
            if key in value and key in target and getattr(answer, name) == getattr(wanted, name):
                aligned[key] = target[key]
    except (OutputError, ValueError, TypeError):  # also from an odd __eq__
        return value
    return aligned


def _one_form(output: JsonOutput, kind: Any, answer: Any) -> str | None:
    """An object as the answer that it is read from; None if it cannot be read again as the same."""
    try:
        plain = object_json(answer)
        if not output.accepts(plain):
            return None
        ordered = output.ordered(plain)
        text = json.dumps(ordered, ensure_ascii=False, allow_nan=False)
        return text if as_python_type(kind, ordered, text) == answer else None
    except (OutputError, ValueError, TypeError, RecursionError):  # PydanticSerializationError is a ValueError
        return None


def _explain_other_keys(refused: ValidationError, text: str, error: OutputError) -> None:
    """Raise the class's error where it is about nothing but keys that it does not know."""
    details = refused.errors(include_url=False, include_context=False)
    if not all(detail["type"] == "extra_forbidden" for detail in details):
        return
    path = json_path(_steps(details[0]["loc"], json.loads(text), "extra_field"))
    raise OutputError("this key is not in the schema", problem="extra_field", path=path, text=text) from error


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
