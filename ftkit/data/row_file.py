"""Write the rows of an iterable to a file, so that another process can open them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from ftkit.data.unusable_value import column_json, encode_columns
from ftkit.errors import ConfigError, DataError, Place, StorageError
from ftkit.files import home, says_disk_full
from ftkit.schema.json_values import to_exact_json

__all__ = ["row_file_folder", "write_row_file"]


def row_file_folder() -> Path:
    """Return ``datasets`` in ftkit's home folder, readable by its owner only.

    Returns:
        The folder, which exists.

    Raises:
        StorageError: it cannot be created.
    """
    folder = home() / "datasets"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(_problem(folder, error), full=says_disk_full(error)) from error
    return folder


def _problem(folder: Path, error: OSError) -> str:
    reason = "the disk is full" if says_disk_full(error) else error.strerror
    return (
        f"rows cannot be written to {folder}: {reason}; set FTKIT_HOME to a folder with room for them, or load them "
        "from a file"
    )


def write_row_file(rows: Iterable[Any], name: str) -> Path:
    """Write rows as JSON Lines under a name made of their SHA-256, so that the same rows are stored once.

    The rows are read one by one, so a generator may yield more than fits in memory.

    Args:
        rows: mappings from column to value.
        name: what errors call the file.

    Returns:
        Path of the file.

    Raises:
        DataError: a row is not a mapping, or holds a value of a class that JSON cannot hold; the place counts rows from
            1. NaN, bytes and durations are kept as unusable: an error only where the column is read.
        ConfigError: ``rows`` is one mapping, a text or a path.
        StorageError: the disk is full or read-only.
    """
    if isinstance(rows, Mapping):
        raise ConfigError(
            f"from_rows takes the rows themselves, this is a {type(rows).__qualname__} of {', '.join(map(str, rows))}; "
            "pass one of its values (one split of a DatasetDict), or a list of rows"
        )
    if isinstance(rows, str | bytes | os.PathLike):
        raise ConfigError("from_rows takes rows; for a file use Dataset.load(path)")
    folder = row_file_folder()
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    except OSError as error:
        raise StorageError(_problem(folder, error), full=says_disk_full(error)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _write(file, rows, name)
            file.flush()
            os.fsync(file.fileno())
        target = folder / f"{digest}.jsonl"
        # Keep the file of the same rows: a dataset or a run that uses it would find it changed.
        if target.exists() and target.stat().st_size == Path(temporary).stat().st_size:
            os.unlink(temporary)
        else:
            os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and says_disk_full(error):  # not one of the rows' source
            raise StorageError(_problem(folder, error), full=says_disk_full(error)) from error
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
        values = {_column(key, place): column_json(value, place, str(key)) for key, value in row.items()}
        line = json.dumps(encode_columns(values), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        digest.update(line)
        file.write(line)
    return digest.hexdigest()


def _column(key: object, place: Place) -> str:
    if not isinstance(key, str):
        raise DataError(f"the name of the column {key!r} is not a text", place=place)
    return to_exact_json(key, place, "a column's name")  # type: ignore[no-any-return]
