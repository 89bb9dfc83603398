"""Read a task's fields from YAML."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ftkit.errors import ConfigError
from ftkit.named_files import read_small_text
from ftkit.yaml_text import read_yaml

__all__ = ["read_fields"]


def read_fields(source: str | os.PathLike[str], fields: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Read the fields of a task.

    Args:
        source: a path, or the YAML itself: a string of several lines, or with a ``:`` and a space in it.
        fields: names of the fields that a task has.

    Returns:
        What errors call the source, and the fields.

    Raises:
        ConfigError: no such file, not YAML, or a field that a task does not have.
    """
    name = "task"
    if not isinstance(source, str) or not ("\n" in source or ": " in source):
        name = os.fspath(source)
        try:
            source = read_small_text(source)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"{name}: cannot be read: {why}") from error
    data = read_yaml(source, name)
    unknown = [str(key) for key in data if key not in fields]
    if unknown:
        raise ConfigError(f"{name}: {', '.join(unknown)}: there is no such field; a task has {', '.join(fields)}")
    return name, data
