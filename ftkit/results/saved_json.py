"""Load results that were saved as JSON with their digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ftkit.errors import ReportError
from ftkit.files import canonical_digest
from ftkit.named_files import irregular_file_kind, read_small_text
from ftkit.results.json_values import canonical

__all__ = ["load_saved", "saved_digest"]

_LARGEST = 1 << 30
"""Bytes of the largest file that is loaded: a report of some hundred thousand rows."""

Saved = TypeVar("Saved", bound=BaseModel)


def saved_digest(content: dict[str, Any]) -> str:
    """Compute the digest of a result's content, by which changes of a file are noticed.

    Args:
        content: the content as plain JSON values, without a digest.

    Returns:
        ``sha256:…``; empty for what no saved file contains: NaN, or a lone surrogate.
    """
    try:
        return canonical_digest(canonical(content))
    except ValueError:
        return ""


def load_saved(model: type[Saved], path: Path, *, noun: str, newest: int, kind: str | None = None) -> Saved:
    """Load an object that was saved as JSON with its digest, and check it.

    Args:
        model: pydantic model of the object.
        path: the file.
        noun: what it is, for errors.
        newest: the newest schema version that can be read.
        kind: the value of its ``kind``; ``ftkit.<noun>`` by default.

    Returns:
        The object.

    Raises:
        ReportError: the file cannot be read, is larger than 1 GiB, is something else, is newer or was altered.
    """
    kind = kind or f"ftkit.{noun}"
    try:
        irregular = irregular_file_kind(path)
        content = None if irregular is not None else json.loads(read_small_text(path, limit=_LARGEST))
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path}: not a {noun}: not JSON ({error}). Name a file that ftkit saved as .json") from None
    if irregular is not None:
        raise ReportError(f"{path}: {irregular}, not a {noun}")
    if not isinstance(content, dict) or content.get("kind") != kind:
        raise ReportError(f'{path}: not a {noun}: "kind" is not "{kind}". Name a file that ftkit saved as .json')
    version = content.get("schema_version")
    if isinstance(version, int) and version > newest:
        raise ReportError(
            f"{path}: written by ftkit {content.get('ftkit_version')} with schema version {version}; this ftkit reads "
            f"up to {newest}. Upgrade ftkit."
        )
    stored = content.pop("digest", None)
    if stored is None:
        raise ReportError(f"{path}: the digest is missing, so the {noun} was altered after it was saved")
    if stored != (saved_digest(content) or None):
        raise ReportError(
            f"{path}: the {noun} was altered after it was saved: its content does not have the digest {stored}. Take "
            "the original file, or make it again."
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ReportError(f"{path}: not a {noun} of this ftkit: {field}: {first['msg']}") from None
