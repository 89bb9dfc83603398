"""Describe a dataset as plain data, so that another process opens the same rows."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from array import array
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ftkit.data.class_forms import class_forms
from ftkit.data.open_dataset import open_row_reader
from ftkit.data.options import ReadOptions
from ftkit.data.row_file import row_file_folder
from ftkit.data.row_reader import RowReader
from ftkit.data.sources import Corpus, Source, open_source
from ftkit.errors import DataError
from ftkit.files import write_atomically
from ftkit.task import Task

__all__ = ["from_spec", "to_spec"]

_VERSION = 1
_INLINE = 256
"""The longest selection of rows that is listed in the spec itself."""


def to_spec(
    corpus: Corpus,
    row_reader: RowReader,
    rows: range | array[int],
    folder: str | os.PathLike[str] | None,
    fingerprint: str | None,
) -> dict[str, Any]:
    """Describe a dataset; see :meth:`ftkit.data.Dataset.to_spec`.

    Args:
        corpus: the files.
        row_reader: how their rows are read.
        rows: numbers of the dataset's rows in the corpus.
        folder: where a long selection of rows is written; None means ftkit's home folder.
        fingerprint: the dataset's, where it is known. It saves the other process reading all rows.

    Returns:
        The description.
    """
    options = asdict(row_reader.options)
    return {
        "version": _VERSION,
        "sources": [_source_spec(source) for source in corpus.sources],
        "task": row_reader.task.model_dump(mode="json"),
        # The detected format instead of "auto": the other process must read the rows as this one did.
        "options": {**options, "columns": dict(row_reader.options.columns), "format": row_reader.format.name},
        "rows": _rows_spec(rows, folder),
        "forms": _forms_spec(class_forms(corpus, row_reader, rows), folder),
        "fingerprint": fingerprint,
    }


def from_spec(given: Mapping[str, Any]) -> tuple[Corpus, RowReader, range | array[int], str | None]:
    """Open a described dataset; see :meth:`ftkit.data.Dataset.from_spec`.

    Args:
        given: the description.

    Returns:
        The files, how their rows are read, the numbers of the dataset's rows, and its fingerprint where it is known.

    Raises:
        DataError: a file is gone, or has changed since.
    """
    if given.get("version") != _VERSION:
        raise DataError(f"a dataset spec of version {given.get('version')!r}; this ftkit reads version {_VERSION}.")
    corpus = Corpus([_open(source) for source in given["sources"]])
    options = {**given["options"], "columns": tuple(given["options"]["columns"].items())}
    row_reader = open_row_reader(corpus, Task(**given["task"]), ReadOptions(**options))
    row_reader = replace(row_reader, forms=_forms(given.get("forms")))
    # Specs of version 0.1 have no forms and no fingerprint.
    return corpus, row_reader, _rows(given["rows"]), given.get("fingerprint")


def _source_spec(source: Source) -> dict[str, Any]:
    size, modified = source.stamp
    return {
        "path": str(source.path),
        "name": source.name,
        "size": size,
        "modified_ns": modified,
        "sha256": source.digest(),
        "max_line_bytes": source.max_line_bytes,
        "nulls_are_absent": source.nulls_are_absent,
    }


def _open(given: Mapping[str, Any]) -> Source:
    source = open_source(
        given["path"],
        name=given["name"],
        max_line_bytes=given["max_line_bytes"],
        nulls_are_absent=given["nulls_are_absent"],
    )
    size, modified = source.stamp
    # A touched or copied file has another time and the same content; only then is it worth reading it all.
    if size != given["size"] or (modified != given["modified_ns"] and source.digest() != given["sha256"]):
        raise DataError(f"{given['name']} ({given['path']}) has changed since the dataset was described.")
    return source


def _rows_spec(rows: range | array[int], folder: str | os.PathLike[str] | None) -> dict[str, Any]:
    if isinstance(rows, range):
        return {"range": [rows.start, rows.stop, rows.step]}
    if len(rows) <= _INLINE:
        return {"list": list(rows)}
    return _file_spec(_little_endian(rows).tobytes(), folder, ".rows")


def _file_spec(raw: bytes, folder: str | os.PathLike[str] | None, suffix: str) -> dict[str, Any]:
    digest = hashlib.sha256(raw).hexdigest()
    path = Path(folder or row_file_folder()).absolute() / f"{digest[:32]}{suffix}"
    if not path.exists():
        write_atomically(path, raw)
    return {"file": str(path), "sha256": digest}


def _forms_spec(forms: Mapping[str, str], folder: str | os.PathLike[str] | None) -> dict[str, Any] | None:
    if not forms:
        return None
    return _file_spec(json.dumps(forms, ensure_ascii=False).encode(), folder, ".forms.json")


def _forms(given: Mapping[str, Any] | None) -> dict[str, str]:
    return {} if given is None else dict(json.loads(_read_file(given, "the canonical answers")))


def _rows(given: Mapping[str, Any]) -> range | array[int]:
    if "range" in given:
        return range(*given["range"])
    if "list" in given:
        return array("q", given["list"])
    raw = _read_file(given, "the selection of rows")
    rows = array("q")
    rows.frombytes(raw)
    return _little_endian(rows)


def _read_file(given: Mapping[str, Any], what: str) -> bytes:
    path = Path(given["file"])
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}, {what}, cannot be read: {error.strerror or error}.") from error
    if hashlib.sha256(raw).hexdigest() != given["sha256"]:
        raise DataError(f"{path}, {what}, has changed since the dataset was described.")
    return raw


def _little_endian(rows: array[int]) -> array[int]:
    if sys.byteorder == "little":
        return rows
    swapped = rows[:]
    swapped.byteswap()
    return swapped
