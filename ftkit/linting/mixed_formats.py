"""Open files for linting, also those whose first rows have several formats."""

from __future__ import annotations

from collections.abc import Callable

from ftkit.data import Dataset
from ftkit.data.formats import detected_formats
from ftkit.errors import ConfigError, DataError, FormatError

__all__ = ["open_for_lint"]

_SAMPLE_ROWS = 100


def open_for_lint(load: Callable[[str], Dataset], format_: str) -> Dataset:
    """Open files. If their first rows have several formats, choose the format of most of them.

    Args:
        load: opens the files in a format.
        format_: the format that the user named; others are tried only for ``"auto"``.

    Returns:
        The rows; those of other formats cannot be used, which rule D006 reports.

    Raises:
        FormatError: no format fits most of the first rows.
    """
    try:
        return load(format_)
    except FormatError as error:
        if error.place is None or format_ != "auto":
            raise
        opened = [data for each in detected_formats() if (data := _open(load, each.name)) is not None]
        if not opened:
            raise
        return min(opened, key=lambda data: len(data.take(_SAMPLE_ROWS).check()))


def _open(load: Callable[[str], Dataset], name: str) -> Dataset | None:
    """The rows in a format; None if no row of the sample fits it."""
    try:
        data = load(name)
    except (DataError, ConfigError):  # a format that these rows, or this task, do not fit
        return None
    return data if len(data.take(_SAMPLE_ROWS).check()) < min(len(data), _SAMPLE_ROWS) else None
