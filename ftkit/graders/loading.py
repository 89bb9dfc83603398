"""Load graders from files and plain data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ftkit.arguments import explain_calls
from ftkit.errors import ConfigError
from ftkit.graders.base import Grader
from ftkit.graders.registry import GRADERS
from ftkit.named_files import read_small_text
from ftkit.yaml_text import read_yaml_value

__all__ = ["grader_of", "load_grader"]


@explain_calls(instead='ft.load_grader("grader.yaml")')
def load_grader(path: str | os.PathLike[str]) -> Grader:
    """Load a grader from a JSON or YAML file.

    Args:
        path: the file. OpenAI's types are in OpenAI's form.

    Returns:
        The grader.

    Raises:
        ConfigError: the file cannot be read, is neither JSON nor YAML, or has an unknown type, an unknown field or an
            invalid value.
    """
    source = Path(path)
    try:
        text = read_small_text(source)
    except OSError as error:
        raise ConfigError(f"{source}: cannot read the grader: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: neither JSON nor YAML: {error}") from None
    data = read_yaml_value(text, str(source))  # JSON is YAML
    try:
        return grader_of(data)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def grader_of(data: Any) -> Grader:
    """Make a grader from plain data.

    Args:
        data: a mapping with ``type`` and the type's fields.

    Returns:
        The grader.

    Raises:
        ConfigError: the data do not describe a grader; the message names the field.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"a grader is a mapping of fields, not {type(data).__name__}")
    kind = data.get("type")
    if not isinstance(kind, str):
        raise ConfigError(f"type: name the grader's type, one of {', '.join(GRADERS.names())}")
    return GRADERS.get(kind)(**data).read_from_data()
