"""The key by which a run's job is found at its host."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any

__all__ = ["key_tag", "new_key", "unix_seconds"]

_MAX_KEY = 40
"""Longest suffix that every host takes which has the key there."""


def new_key(run_id: str) -> str:
    """Make a key for a run.

    Args:
        run_id: id of the run.

    Returns:
        At most 40 characters: the run's id and a random part.
    """
    key = f"ftkit-{run_id.lower()}-{secrets.token_hex(4)}"
    return key if len(key) <= _MAX_KEY else f"ftkit-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def key_tag(key: str) -> str:
    """Shorten a key, for hosts with short suffixes and for names of files.

    Args:
        key: the key.

    Returns:
        18 characters that follow from the key.
    """
    return f"ftkit-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def unix_seconds(value: Any) -> float | None:
    """Read a time that a host sends.

    Args:
        value: Unix seconds, or a date and time in ISO 8601.

    Returns:
        Unix seconds; None if it is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError):
        return None
