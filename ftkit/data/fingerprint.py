"""One hash for the contents of many rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from ftkit.data.strict_json import canonical_json

__all__ = ["ContentHash", "fingerprint_rows"]


class ContentHash:
    """SHA-256 over the canonical JSON of each row and a line feed, in order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, content: str) -> None:
        """Add the next row.

        Args:
            content: the row's canonical JSON.
        """
        self._digest.update(content.encode())
        self._digest.update(b"\n")

    @property
    def fingerprint(self) -> str:
        """``sha256:`` and 64 hex digits."""
        return f"sha256:{self._digest.hexdigest()}"


def fingerprint_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash rows.

    Args:
        rows: the columns of each row.

    Returns:
        ``sha256:`` and 64 hex digits: equal for equal rows in the same order.
    """
    content = ContentHash()
    for columns in rows:
        content.add(canonical_json(columns))
    return content.fingerprint
