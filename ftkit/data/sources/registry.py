"""The registry of file types, by suffix."""

from __future__ import annotations

import os
from pathlib import Path

from ftkit.data.sources.base import MAX_LINE_BYTES, Source
from ftkit.errors import DataError, FormatError
from ftkit.named_files import irregular_file_kind
from ftkit.registry import Registry, subclass_check

__all__ = ["SOURCES", "open_source"]


SOURCES: Registry[type[Source]] = Registry(
    "file type",
    group="ftkit.sources",
    built_in={
        "jsonl": "ftkit.data.sources.jsonl:JsonLines",
        "ndjson": "ftkit.data.sources.jsonl:JsonLines",
        "json": "ftkit.data.sources.jsonl:JsonLines",
        "csv": "ftkit.data.sources.csv:Csv",
        "tsv": "ftkit.data.sources.csv:Csv",
        "parquet": "ftkit.data.sources.parquet:Parquet",
        "pq": "ftkit.data.sources.parquet:Parquet",
        "txt": "ftkit.data.sources.text_file:TextFile",
        "md": "ftkit.data.sources.text_file:TextFile",
        "otlp": "ftkit.data.sources.otlp:OtlpProtobuf",
        "binpb": "ftkit.data.sources.otlp:OtlpProtobuf",
    },
    check=subclass_check("file type", Source, "ftkit.data.sources.Source"),
)
"""Classes of files by suffix without its dot; packages add theirs under the entry-point group ``ftkit.sources``."""


def open_source(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
    nulls_are_absent: bool = False,
) -> Source:
    """Index a file of rows. Its suffix says what it is; a JSON file's first character says whether it is an array.

    Args:
        path: the file.
        name: what errors call it; the path by default.
        max_line_bytes: size of the largest row that is accepted, in bytes.
        nulls_are_absent: whether a null means that the row does not have the key; always true of Parquet.

    Returns:
        The indexed file.

    Raises:
        DataError: there is no such file, or it cannot be read.
        FormatError: the suffix is unknown.
        MissingExtraError: a Parquet file, and pyarrow is not installed.
    """
    file = Path(path)
    name = name or str(path)
    try:
        irregular = irregular_file_kind(file)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{name}: there is no such file.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if irregular == "a folder":
        raise DataError(f"{name} is a folder; pass its files, as a list of paths.")
    if irregular is not None:
        raise DataError(f"{name} is {irregular}; rows are read more than once, so write them to a file first.")
    kind = SOURCES.find(file.suffix.lower().removeprefix("."))
    if kind is None:
        known = ", ".join(f".{suffix}" for suffix in SOURCES.names())
        raise FormatError(f"{name}: cannot tell what kind of file this is; it must end in {known}.")
    try:
        return kind.open_file(file, name, max_line_bytes=max_line_bytes, nulls_are_absent=nulls_are_absent)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}.") from error
