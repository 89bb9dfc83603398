"""Rows of a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftkit.errors import ConfigError

__all__ = ["frame_rows"]


def frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a DataFrame as Python values; missing ones (NaN, NaT, NA) as None.

    Args:
        frame: the DataFrame. Its index is not read.

    Yields:
        Each row, by column.

    Raises:
        ConfigError: it is no DataFrame, or has two columns of one name.
    """
    if type(frame).__module__.partition(".")[0] != "pandas" or not hasattr(frame, "columns"):
        raise ConfigError(f"from_pandas takes a pandas DataFrame, not a {type(frame).__name__}")
    columns = [str(name) for name in frame.columns]
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise ConfigError(f"from_pandas: two columns are named {twice[0]!r}; rename one")
    for values in frame.itertuples(index=False, name=None):
        yield {name: _plain(value) for name, value in zip(columns, values, strict=True)}


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool | int | dict | list) or value is None:
        return value
    if not hasattr(value, "__len__") and (value != value or type(value).__name__ in ("NAType", "NaTType")):
        return None
    return value.item() if type(value).__module__ == "numpy" and not hasattr(value, "__len__") else value
