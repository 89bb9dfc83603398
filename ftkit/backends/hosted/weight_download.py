"""Weights that a host gives out, as the folder of a model on this machine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from ftkit.errors import HostError, RunError

__all__ = ["fetch_model", "inside"]

_RECORD = "ftkit.json"
_SETTINGS = ("adapter_config.json", "config.json")


def fetch_model(folder: Path, record: dict[str, Any], fetch: Callable[[Path], None]) -> None:
    """Fill ``folder`` with a model; it is there whole or not at all.

    Args:
        folder: new or empty.
        record: what is known of the model, written beside it so that it is found again, e.g. its task.
        fetch: writes the host's files into a folder.

    Raises:
        RunError: the folder holds something.
        HostError: the host refused, or what it sent is no model.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is not an empty folder; name a new one for the weights")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        fetch(aside)
        made = _root(aside)
        (made / _RECORD).write_text(json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        os.replace(made, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def inside(folder: Path, name: str) -> Path | None:
    """The place of a host's file in ``folder``, its own folders made; ``None`` when it would lie outside."""
    place = (folder / PurePosixPath(name)).resolve()
    if not place.is_relative_to(folder.resolve()) or place == folder.resolve():
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _root(folder: Path) -> Path:
    """Where the model's files are; some hosts put them into a folder of their own."""
    found = [file.parent for name in _SETTINGS for file in sorted(folder.rglob(name))]
    if not found:
        held = ", ".join(sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())[:5])
        raise HostError(f"what the host sent is no model: it holds {held or 'nothing'} and no adapter_config.json")
    return found[0]
