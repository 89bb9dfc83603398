"""Weights as pickles of PyTorch: whether the archive around them is one that PyTorch writes."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ftkit.errors import ModelError

__all__ = ["check_pickle_archive"]

_ROOM = 2**20
_MAX_MEMBERS = 1_000_000


def check_pickle_archive(file: Path) -> None:
    """Refuse an archive that expands when it is read. PyTorch compresses nothing, and reads what others compressed.

    Loading the pickle in it runs no code: transformers and PEFT take tensors only.

    Args:
        file: a file with the ending ``.bin`` or ``.pt``. Pickles of old versions are no archives.

    Raises:
        ModelError: members are compressed, or share their bytes.
    """
    if not zipfile.is_zipfile(file):
        return
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"{file} is a damaged archive ({str(error)[:200]}); get the file again") from None
    expanded = sum(member.file_size for member in members)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ModelError(f"{file} is compressed, as PyTorch writes no weights; get the file again")
    if expanded > file.stat().st_size + _ROOM or len(members) > _MAX_MEMBERS:
        raise ModelError(
            f"{file} has {file.stat().st_size:,} bytes and expands to {expanded:,}, as no weights do; get it again"
        )
