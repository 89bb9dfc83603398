"""Rows from the Hugging Face Hub, through the ``datasets`` package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from ftkit.errors import ConfigError, DataError
from ftkit.extras import require

__all__ = ["hub_rows", "is_hub_name", "one_split"]

_PREFIX = "hf://"
_OPTIONS = {"config": "name", "split": "split", "revision": "revision"}
"""Options after the ``?``, to the arguments of ``datasets.load_dataset``."""


def is_hub_name(path: object) -> bool:
    """Return whether a path is a name on the Hub.

    Args:
        path: what the user gave.

    Returns:
        Whether it begins with ``hf://``.
    """
    return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(_PREFIX)


def hub_rows(name: str) -> Any:
    """Load ``hf://owner/name?split=train&config=…&revision=…``.

    Args:
        name: the name.

    Returns:
        A ``datasets.Dataset``.

    Raises:
        ConfigError: an unknown option, or several splits and none is named.
        DataError: the dataset cannot be loaded.
        MissingExtraError: ``datasets`` is not installed.
    """
    where, _, query = name.removeprefix(_PREFIX).partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [option for option in given if option not in _OPTIONS]
    if unknown or not where:
        raise ConfigError(f"{name}: write hf://owner/name?split=train; the options are {', '.join(_OPTIONS)}")
    datasets = require("datasets", extra="hub", needed_for="hf:// names")
    try:
        found = datasets.load_dataset(where, **{_OPTIONS[option]: value for option, value in given.items()})
    except Exception as error:  # each kind of storage, file and network has errors of its own
        first = str(error).strip().partition("\n")[0]
        raise DataError(f"{name} cannot be loaded: {first or type(error).__name__}") from error
    return one_split(found, f"{name}{'&' if query else '?'}split=")


def one_split(found: Any, example: str) -> Any:
    """Return the only split of what was loaded.

    Args:
        found: a ``datasets.Dataset``, or a dict of them by split.
        example: how a split is named; a name is added.

    Returns:
        The ``datasets.Dataset``.

    Raises:
        ConfigError: there are several splits.
    """
    if not isinstance(found, Mapping):
        return found
    if len(found) == 1:
        return next(iter(found.values()))
    raise ConfigError(f"there are several splits ({', '.join(found)}); name one: {example}{next(iter(found), '')}")
