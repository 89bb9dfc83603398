"""Split files of rows by their columns, without a task or a format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ftkit.cli.console import json_line
from ftkit.data.column_value import column_value, equality_key
from ftkit.data.formats import FORMATS
from ftkit.data.options import ReadOptions
from ftkit.data.row_reader import RowReader
from ftkit.data.sources import Corpus, open_source
from ftkit.data.split import SplitKeys, SplitPart, assign_parts, hash_rank, part_size
from ftkit.data.unusable_value import require_columns
from ftkit.files import atomic_writer
from ftkit.task import Task

__all__ = ["split_files"]


def split_files(
    files: Sequence[Path],
    paths: Mapping[str, Path],
    sizes: Mapping[str, float],
    *,
    group_by: str | None,
    stratify_by: str | None,
    seed: int,
) -> dict[str, int]:
    """Write the rows of ``files`` to ``paths`` as JSON lines.

    The parts are those of :meth:`ftkit.data.Dataset.split` with the same arguments.

    Args:
        files: files of rows.
        paths: output file of each part: ``"train"`` and the names of ``sizes``.
        sizes: share or number of rows of each part, in order.
        group_by: column whose values stay in one part.
        stratify_by: column whose values are spread evenly.
        seed: seed of the split.

    Returns:
        Number of rows of each part.

    Raises:
        DataError: a row cannot be read or lacks a column, or a part would be empty.
        ConfigError: a size is invalid.
    """
    corpus = Corpus([open_source(file) for file in files])
    sides = [SplitPart(name, part_size(name, size, len(corpus))) for name, size in sizes.items()]
    parts = assign_parts(_keys(corpus, group_by, stratify_by, seed), sides, grouped=group_by is not None)
    by_name = dict(zip([*sizes, "train"], parts, strict=True))
    for name, path in paths.items():
        _write(corpus, by_name[name], path)
    return {name: len(by_name[name]) for name in paths}


def _keys(corpus: Corpus, group_by: str | None, stratify_by: str | None, seed: int) -> SplitKeys:
    # Only its way of telling rows apart is used, which asks nothing of the format.
    reading = RowReader(Task(), FORMATS.get("openai"), ReadOptions())
    keys = SplitKeys()
    with corpus.open(sequential=True) as reader:
        for number in range(len(corpus)):
            _, place, columns = reader.read(number)
            group = (
                reading.identity(columns, place)
                if group_by is None
                else equality_key(column_value(columns, group_by, place))
            )
            label = "" if stratify_by is None else equality_key(column_value(columns, stratify_by, place))
            keys.add(hash_rank(seed, group), label)
    return keys


def _write(corpus: Corpus, rows: Iterable[int], path: Path) -> None:
    with atomic_writer(path) as file, corpus.open(sequential=True) as reader:
        for number in rows:
            _, place, columns = reader.read(number)
            require_columns(columns, columns, place)
            file.write(json_line(columns).encode() + b"\n")
