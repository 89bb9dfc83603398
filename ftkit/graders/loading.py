"""Graders from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ftkit.errors import ConfigError
from ftkit.graders.base import Grader
from ftkit.graders.registry import GRADERS

__all__ = ["grader_of", "load_grader"]


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
    kind = data.get("type")
    if not isinstance(kind, str):
        raise ConfigError(f"type: name the grader's type, one of {', '.join(GRADERS.names())}")
    return GRADERS.get(kind)(**data)
