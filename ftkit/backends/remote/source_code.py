"""This ftkit as an archive, so that the other machine runs exactly the same code."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from ftkit.version import __version__

__all__ = ["SourceCode", "this_code"]

_PACKAGE = Path(__file__).parents[2]
_EXTRAS = ("local", "graders", "openai", "parquet", "text")
"""Extras whose packages a run may need there: training, graders, graders that ask a hosted model, rows in Parquet."""
_EXTRA_MARKER = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")
_JOINT = re.compile(r"^\s*and\s+|\s+and\s*$|[()]")


@dataclass(frozen=True, slots=True)
class SourceCode:
    """The code of this ftkit.

    Attributes:
        digest: the first 16 hex digits of the SHA-256 of its files. Code of another digest gets another folder.
        archive: the files as a compressed tar archive.
        requirements: what pip installs for it, as ``Requires-Dist`` of ftkit lists it.
    """

    digest: str
    archive: bytes
    requirements: tuple[str, ...]


@lru_cache(maxsize=1)
def this_code() -> SourceCode:
    """Pack the package of this process.

    Returns:
        The code.
    """
    metadata, requirements = _metadata()
    files = {f"ftkit/{name}": content for name, content in _package_files()}
    files[f"ftkit-{__version__}.dist-info/METADATA"] = metadata.encode()
    digest, packed = hashlib.sha256(), io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=6) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return SourceCode(digest.hexdigest()[:16], packed.getvalue(), requirements)


def _package_files() -> list[tuple[str, bytes]]:
    return [
        (file.relative_to(_PACKAGE).as_posix(), file.read_bytes())
        for file in _PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc"
    ]


def _metadata() -> tuple[str, tuple[str, ...]]:
    """The metadata of the package there, and its requirements with those of the extras that runs need."""
    try:
        listed = list(distribution("ftkit").requires or ())
    except PackageNotFoundError:  # run from a checkout that nobody installed: the interpreter there must have all
        listed = []
    lines = ["Metadata-Version: 2.1", "Name: ftkit", f"Version: {__version__}"]
    lines += [
        f"Provides-Extra: {extra}"
        for extra in sorted({name for each in listed for name in _EXTRA_MARKER.findall(each)})
    ]
    lines += [f"Requires-Dist: {each}" for each in listed]
    needed = [_without_extra(each) for each in listed if set(_EXTRA_MARKER.findall(each)) <= set(_EXTRAS)]
    return "\n".join(lines) + "\n", tuple(each for each in needed if not each.startswith("ftkit["))


def _without_extra(requirement: str) -> str:
    """``accelerate>=1.2; extra == 'local'`` as ``accelerate>=1.2``."""
    name, _, marker = requirement.partition(";")
    rest = _JOINT.sub("", _EXTRA_MARKER.sub("", marker)).strip()
    return f"{name.strip()}; {rest}" if rest else name.strip()
