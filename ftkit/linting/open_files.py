"""Opening files to be linted: also those whose first rows are of several formats."""

from __future__ import annotations

from collections.abc import Callable

from ftkit.data import Dataset
from ftkit.data.formats import detected_formats
from ftkit.errors import ConfigError, DataError, FormatError

__all__ = ["open_anyway"]

_LOOKED_AT = 100


def open_anyway(load: Callable[[str], Dataset], format_: str) -> Dataset:
    """The rows; where the first of them have several formats, read in the one that most of them have.

    Args:
        load: opens the files in a format.
        format_: as the user wrote it; only ``"auto"`` is tried further.

    Raises:
        DataError, ConfigError: what :meth:`ftkit.data.Dataset.load` raises.
    """
    try:
        return load(format_)
    except FormatError as error:
        if error.place is None or format_ != "auto":
            raise
        tried = [found for each in detected_formats() if (found := _tried(load, each.name)) is not None]
        if not tried:
            raise
        return min(tried, key=lambda rows: len(rows.take(_LOOKED_AT).check()))


def _tried(load: Callable[[str], Dataset], name: str) -> Dataset | None:
    try:
        rows = load(name)
    except (DataError, ConfigError):  # a format that these rows, or this task, do not fit
        return None
    return rows if len(rows.take(_LOOKED_AT).check()) < min(len(rows), _LOOKED_AT) else None
