"""Download the weights that a host offers, as a model folder on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from ftkit.errors import HostError, RunError
from ftkit.files import folder_aside, replace_folder

__all__ = ["download_model", "safe_path"]

_RECORD_FILE = "ftkit.json"
_CONFIG_FILES = ("adapter_config.json", "config.json")


def download_model(folder: Path, record: dict[str, Any], download: Callable[[Path], None]) -> None:
    """Download a model into a folder, which exists afterwards only if the model is complete.

    Args:
        folder: a new or empty folder.
        record: what is known of the model, e.g. its task. Written to ``ftkit.json`` in the folder.
        download: writes the host's files into the folder that it is called with.

    Raises:
        RunError: the folder is not empty.
        HostError: the host refused, or its files are not a model.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is not an empty folder; name a new one for the weights")
    with folder_aside(folder) as partial:
        download(partial)
        model = _find_model(partial)
        (model / _RECORD_FILE).write_text(json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8")
        os.chmod(model, 0o755)  # the folder aside is private  # noqa: S103
        replace_folder(model, folder)


def safe_path(folder: Path, name: str) -> Path | None:
    """Return the path of a host's file in a folder, and create its parent folders.

    Args:
        folder: the folder.
        name: name of the file at the host, perhaps with folders.

    Returns:
        The path; None if it would lie outside of the folder.
    """
    path = (folder / PurePosixPath(name)).resolve()
    if not path.is_relative_to(folder.resolve()) or path == folder.resolve():
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _find_model(folder: Path) -> Path:
    """The folder of the model's files. Some hosts put them into a folder of their own."""
    found = [file.parent for name in _CONFIG_FILES for file in sorted(folder.rglob(name))]
    if not found:
        files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())[:5]
        raise HostError(
            f"what the host sent is no model: it holds {', '.join(files) or 'nothing'} and no adapter_config.json"
        )
    return found[0]
