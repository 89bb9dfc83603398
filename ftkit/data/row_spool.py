"""Rows that come from an iterable, written to a file once, so that another process can open them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from ftkit.data.json_values import plain
from ftkit.errors import ConfigError, DataError, Place
from ftkit.files import home

__all__ = ["spool", "spool_folder"]


def spool_folder() -> Path:
    """``datasets`` in ftkit's home, readable by its owner only."""
    folder = home() / "datasets"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def spool(rows: Iterable[Any], name: str) -> Path:
    """Write ``rows`` as JSON Lines under a name made of their SHA-256: the same rows are kept once.

    The rows are taken one by one, so that a generator may yield more than fits in memory.

    Raises:
        DataError: a row is not a mapping, or holds what JSON cannot; the place counts rows from 1.
    """
    if isinstance(rows, Mapping):
        raise ConfigError(
            f"from_rows takes the rows themselves, this is a {type(rows).__qualname__} of {', '.join(map(str, rows))}; "
            "pass one of its values (one split of a DatasetDict), or a list of rows"
        )
    if isinstance(rows, str | bytes | os.PathLike):
        raise ConfigError("from_rows takes rows; for a file use Dataset.load(path)")
    folder = spool_folder()
    handle, aside = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _write(file, rows, name)
            file.flush()
            os.fsync(file.fileno())
        target = folder / f"{digest}.jsonl"
        # The same rows again: the file stays, for a dataset or a run that was made of it would find it changed.
        if target.exists() and target.stat().st_size == Path(aside).stat().st_size:
            os.unlink(aside)
        else:
            os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
    return target


def _write(file: IO[bytes], rows: Iterable[Any], name: str) -> str:
    digest = hashlib.sha256()
    for number, row in enumerate(rows, start=1):
        place = Place(name, number)
        if not isinstance(row, Mapping):
            raise DataError(
                f"a row must be a mapping from column to value, this is a {type(row).__qualname__} "
                "(for a DataFrame: df.to_dict('records'))",
                place=place,
            )
        values = {_column(key, place): plain(value, place, str(key)) for key, value in row.items()}
        line = json.dumps(values, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        digest.update(line)
        file.write(line)
    return digest.hexdigest()


def _column(key: object, place: Place) -> str:
    if not isinstance(key, str):
        raise DataError(f"the column {key!r} is not called by a text", place=place)
    return plain(key, place, "a column's name")  # type: ignore[no-any-return]
