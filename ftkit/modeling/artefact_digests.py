"""Digests of the files of a model that ftkit made, kept in its ``ftkit.json`` and checked when it is loaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ftkit.errors import ModelError
from ftkit.files import canonical_digest
from ftkit.modeling.model_source import RECORD, read_object, read_record

__all__ = ["check_digests", "file_digests"]

_SETTINGS = {
    "adapter_config.json": ("base_model_name_or_path", "revision", "inference_mode"),
    "config.json": ("_name_or_path", "transformers_version"),
}
"""Settings files whose content counts, without the entries that may change when a model moves."""

_checked: dict[tuple[str, int, int, int], str] = {}
"""Digests of files that this process has read, by path, time of change, size and inode."""


def file_digests(folder: Path) -> dict[str, str]:
    """Compute the digests of a model's weights and settings.

    Args:
        folder: the model's folder.

    Returns:
        ``"sha256:…"`` by file name.
    """
    names = sorted(file.name for file in folder.glob("*.safetensors"))
    return {name: _digest(folder / name) for name in (*names, *_SETTINGS) if (folder / name).is_file()}


def check_digests(folder: Path) -> None:
    """Refuse a model of which a file has changed since ftkit made it. Other models have no digests.

    Args:
        folder: the model's folder.

    Raises:
        ModelError: names the file.
    """
    record = folder / RECORD
    if not record.is_file():
        return
    for name, digest in (read_record(record).get("files") or {}).items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise ModelError(f"{folder} is not whole: {name!r}, which {RECORD} lists, is missing")
        if _digest(file) != digest:
            raise ModelError(
                f"{file} has changed since the model was made: its digest is not the one in {RECORD}. Put the original "
                f"back; if the change is wanted, remove the entry of {name!r} from files in {RECORD}"
            )


def _digest(file: Path) -> str:
    ignored = _SETTINGS.get(file.name)
    if ignored is not None:
        settings = {key: value for key, value in read_object(file).items() if key not in ignored}
        return canonical_digest(json.dumps(settings, sort_keys=True))
    stat = file.stat()
    key = (str(file.resolve()), stat.st_mtime_ns, stat.st_size, stat.st_ino)
    if key not in _checked:
        with file.open("rb") as content:
            _checked[key] = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
    return _checked[key]
