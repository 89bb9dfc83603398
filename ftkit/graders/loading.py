"""Graders from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from ftkit.errors import ConfigError
from ftkit.graders.base import Grader
from ftkit.graders.grader_types import AnyGrader
from ftkit.schema.validation_errors import refusals

__all__ = ["grader_of", "load_grader"]

_ADAPTER: TypeAdapter[Grader] = TypeAdapter(AnyGrader)
_KINDS: dict[Any, type[Grader]] = {kind.model_fields["type"].default: kind for kind in get_args(get_args(AnyGrader)[0])}


def load_grader(path: str | os.PathLike[str]) -> Grader:
    """Read a grader from a JSON or YAML file: OpenAI's form, or that of ftkit's own types.

    Raises:
        ConfigError: no such file, not JSON or YAML, an unknown ``type``, or a field that is unknown or makes no sense.
    """
    source = Path(path)
    try:
        data = yaml.safe_load(source.read_text(encoding="utf-8"))  # JSON is YAML
    except OSError as error:
        raise ConfigError(f"{source}: cannot read the grader: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: neither JSON nor YAML: {error}") from None
    try:
        return grader_of(data)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def grader_of(data: Any) -> Grader:
    """The grader that plain ``data`` is.

    Raises:
        ConfigError: it is none; names the fields.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"a grader is a mapping of fields, not {type(data).__name__}")
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise ConfigError(refusals(error, _KINDS.get(data.get("type"), Grader), data)) from None
