"""Convert what users pass as ``output=`` to an :class:`~ftkit.schema.output.Output`."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field

from ftkit.errors import ConfigError
from ftkit.schema.choice_output import ChoiceOutput
from ftkit.schema.json_output import JsonOutput
from ftkit.schema.output import Output
from ftkit.schema.python_type import json_schema_of
from ftkit.schema.text_output import TextOutput

__all__ = ["AnyOutput", "output_of"]

AnyOutput = Annotated[JsonOutput | ChoiceOutput | TextOutput, Field(discriminator="kind")]
"""The annotation for a pydantic field that holds an output."""

_KINDS: dict[str, type[Output]] = {"json": JsonOutput, "choice": ChoiceOutput, "text": TextOutput}
_ACCEPTED = (
    "it is a pydantic class (or another type that pydantic describes), a JSON Schema dict, Literal[...] of "
    "strings, an Enum of strings, or str for text"
)


def output_of(spec: Any) -> tuple[Output, Any]:
    """Convert a class, a schema or another specification to an output.

    Args:
        spec: a pydantic class, dataclass, TypedDict, ``list[Visit]`` or other type that pydantic can describe: a
            :class:`JsonOutput`. ``Literal["a", "b"]`` or an enum of strings: a :class:`ChoiceOutput`. ``str`` or None:
            a :class:`TextOutput`. A dict: a JSON Schema, or a dumped output when it has a ``kind``. An
            :class:`Output`: itself.

    Returns:
        The output, and the Python type of parsed answers; None if they are plain values.

    Raises:
        ConfigError: it is none of these, or is invalid.
    """
    if isinstance(spec, Output):
        return spec, None
    if spec is None or spec is str:
        return TextOutput(), None
    if isinstance(spec, dict):
        return _from_dict(spec), None
    if get_origin(spec) is Literal:
        return ChoiceOutput(choices=_strings(get_args(spec), spec)), None
    if isinstance(spec, type) and issubclass(spec, Enum):
        return ChoiceOutput(choices=_strings([member.value for member in spec], spec)), spec
    if isinstance(spec, BaseModel):
        name = type(spec).__name__
        raise ConfigError(f"a {name} object was given; give the class itself: output={name}")
    if isinstance(spec, str | bytes | int | float | list | tuple | set):
        raise ConfigError(f"{spec!r:.80} is not an output: {_ACCEPTED}")
    name = spec.__name__ if isinstance(spec, type) and get_origin(spec) is None else "answer"
    return JsonOutput(name=_as_name(name), json_schema=json_schema_of(spec), fill_defaults=True), spec


def _from_dict(spec: dict[str, Any]) -> Output:
    if "kind" not in spec:
        title = spec.get("title")
        return JsonOutput(name=_as_name(title if isinstance(title, str) else "answer"), json_schema=spec)
    kind = spec["kind"]
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(f"there is no kind {kind!r}; the kinds are {', '.join(_KINDS)}")
    return _KINDS[kind](**spec)


def _strings(values: Any, spec: Any) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise ConfigError(
                f"{getattr(spec, '__name__', spec)} has the choice {value!r}, and answers are text; "
                f"use strings: {json.dumps(str(value))}"
            )
    return tuple(value.value if isinstance(value, Enum) else value for value in values)


def _as_name(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", title).strip("_")[:64] or "answer"
