"""Rows that come line by line, each with its place, for commands that read them as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftkit.errors import Place

__all__ = ["placed_rows"]


def placed_rows(lines: Iterable[bytes], source: str) -> Iterator[tuple[dict[str, Any], Place]]:
    """The JSON objects of ``lines``, blank ones left out, and where each stands.

    Args:
        lines: with their line ends.
        source: what they are read from, for messages.

    Raises:
        DataError: a line that is no JSON object.
    """
    from ftkit.data.strict_json import parse_json_object
    from ftkit.errors import Place

    offset = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = Place(source, number)
            yield parse_json_object(line, place, offset), place
        offset += len(line)
