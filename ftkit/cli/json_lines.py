"""Read JSON lines with their places, for commands that do not load a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftkit.errors import Place

__all__ = ["placed_rows"]


def placed_rows(lines: Iterable[bytes], source: str) -> Iterator[tuple[dict[str, Any], Place]]:
    """Parse JSON lines; blank lines are skipped.

    Args:
        lines: lines with their line ends.
        source: name of the file, for messages.

    Yields:
        Each object and its place.

    Raises:
        DataError: a line is not a JSON object.
    """
    from ftkit.data.strict_json import parse_json_object
    from ftkit.errors import Place

    offset = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = Place(source, number)
            yield parse_json_object(line, place, offset), place
        offset += len(line)
