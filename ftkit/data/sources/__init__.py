"""Files of rows: which kind a file is, and the corpus that several of them make."""

from __future__ import annotations

import os
from pathlib import Path

from ftkit.data.sources.base import MAX_LINE_BYTES, Reader, Source
from ftkit.data.sources.corpus import Corpus, CorpusReader
from ftkit.data.sources.csv import Csv
from ftkit.data.sources.json_array import JsonArray, is_array
from ftkit.data.sources.jsonl import JsonLines
from ftkit.data.sources.parquet import Parquet
from ftkit.errors import DataError, FormatError

__all__ = ["MAX_LINE_BYTES", "Corpus", "CorpusReader", "Reader", "Source", "open_source"]

_KINDS: dict[str, type[Source]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": JsonLines,
    ".csv": Csv,
    ".tsv": Csv,
    ".parquet": Parquet,
    ".pq": Parquet,
}


def open_source(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
    nulls_are_absent: bool = False,
) -> Source:
    """Index the file at ``path``; its kind is told by its suffix, and for JSON by its first character.

    Raises:
        DataError: there is no such file, or it cannot be read.
        FormatError: the suffix is none that ftkit knows.
        MissingExtraError: a Parquet file, and pyarrow is not installed.
    """
    file = Path(path)
    shown = name or str(path)
    if file.is_dir():
        raise DataError(f"{shown} is a folder; pass its files, as a list of paths.")
    if not file.exists():
        raise DataError(f"{shown}: there is no such file.")
    kind = _KINDS.get(file.suffix.lower())
    if kind is None:
        raise FormatError(f"{shown}: cannot tell what kind of file this is; it must end in {', '.join(_KINDS)}.")
    try:
        if kind is JsonLines and is_array(file, shown):
            kind = JsonArray
        absent = nulls_are_absent or kind is Parquet
        return kind(file, shown, max_line_bytes=max_line_bytes, nulls_are_absent=absent)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {error.strerror or error}.") from error
