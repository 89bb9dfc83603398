"""One number for the contents of many rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from ftkit.data.strict_json import canonical

__all__ = ["of_rows"]


def of_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """``sha256:<64 hex digits>`` over the canonical JSON of each row and a line feed, in order."""
    digest = hashlib.sha256()
    for columns in rows:
        digest.update(canonical(columns).encode())
        digest.update(b"\n")
    return f"sha256:{digest.hexdigest()}"
