"""Download the weights that a host offers, as a model folder on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftkit.errors import HostError, RunError
from ftkit.files import folder_aside, replace_folder

__all__ = ["HostFiles", "download_model"]

_RECORD_FILE = "ftkit.json"
_CONFIG_FILES = ("adapter_config.json", "config.json")
_MAX_FILES = 10_000
_MAX_DEPTH = 16
_MAX_NAME_BYTES = 200


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


class HostFiles:
    """The files of one download, by the names that a host gives them.

    Args:
        folder: the folder that they are written to.
        host: name of the host, for messages.
    """

    def __init__(self, folder: Path, host: str) -> None:
        self._folder, self._host = folder, host
        self._seen: set[tuple[str, ...]] = set()

    def path(self, name: str) -> Path:
        """Return where a file is written, and create its parent folders.

        Args:
            name: name of the file at the host, perhaps with folders.

        Returns:
            The path, inside of the folder.

        Raises:
            HostError: the name leads out of the folder, is none that every system can write, or came before; or the
                host gives too many files.
        """
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or not parts or len(parts) > _MAX_DEPTH or not all(map(_is_plain, parts)):
            raise HostError(f"{self._host}: the host names a file {name[:200]!r}, which is not written")
        if parts in self._seen or any(parts[:depth] in self._seen for depth in range(1, len(parts))):
            raise HostError(f"{self._host}: the host sends {name[:200]!r} twice")
        if len(self._seen) >= _MAX_FILES:
            raise HostError(f"{self._host}: the weights have more than {_MAX_FILES:,} files")
        self._seen.add(parts)
        path = self._folder.joinpath(*parts)
        if path.is_dir():
            raise HostError(f"{self._host}: {name[:200]!r} is a file and a folder at once")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _is_plain(part: str) -> bool:
    return (
        part != ".."
        and part.isprintable()
        and not any(sign in part for sign in '\\:*?"<>|')
        and len(part.encode(errors="surrogatepass")) <= _MAX_NAME_BYTES
    )


def _find_model(folder: Path) -> Path:
    """The folder of the model's files. Some hosts put them into a folder of their own."""
    found = [file.parent for name in _CONFIG_FILES for file in sorted(folder.rglob(name))]
    if not found:
        files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())[:5]
        raise HostError(
            f"what the host sent is no model: it holds {', '.join(files) or 'nothing'} and no adapter_config.json"
        )
    return found[0]
