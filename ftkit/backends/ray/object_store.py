"""An object store as the storage of a cluster: ``s3://bucket/prefix``, by Apache Arrow's file systems.

The store's credentials are those of the environment, on each side its own; they are never part of the address.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ftkit.errors import ConfigError, HostError
from ftkit.extras import require

__all__ = ["ObjectStore", "check_address", "is_address"]

_SCHEMES = ("s3", "gs", "abfss", "file")
_SECRETS = re.compile(r"key|secret|token|password|sas|signature|credential", re.IGNORECASE)
_MOST_BYTES = 64 << 20
"""Largest object that is read into memory: a page of events, or the description of a job."""


def is_address(storage: str) -> bool:
    """Say whether a storage is an object store's address, not a folder.

    Args:
        storage: the storage.

    Returns:
        Whether it is.
    """
    return "://" in storage


def check_address(storage: str) -> None:
    """Refuse an address that no store has, or that holds a secret, which would be stored with each run.

    Args:
        storage: the address.

    Raises:
        ConfigError: it is one of these. The message holds nothing of the address but its scheme.
    """
    scheme = storage.partition("://")[0]
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise ConfigError(f"ray: storage={scheme[:20]}://…: an object store begins with {known}; else name a folder")
    try:
        parts = urlsplit(storage)
    except ValueError:
        raise ConfigError(f"ray: storage={scheme}://…: it is no address") from None
    secret = "@" in parts.netloc and (scheme != "abfss" or ":" in parts.netloc.partition("@")[0])
    if secret or any(_SECRETS.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise ConfigError(
            f"ray: storage={scheme}://…: it holds a user, a key or a token, which would be stored with each run; put "
            "them into the environment of this machine and of the nodes, such as AWS_ACCESS_KEY_ID"
        )
    if not (parts.netloc or scheme == "file") or not storage.isprintable() or len(storage) > 1000:
        raise ConfigError(f"ray: storage={scheme}://…: write {scheme}://BUCKET/PREFIX")


class ObjectStore:
    """Objects below an address, by names with ``/``.

    Args:
        address: see :func:`check_address`.

    Raises:
        HostError: there is no such store.
    """

    def __init__(self, address: str) -> None:
        self._arrow = require("pyarrow.fs", extra="ray", needed_for="an object store as Ray's storage")
        self._shown = address.partition("?")[0]
        with self._errors():
            self._files, root = self._arrow.FileSystem.from_uri(address)
        self._root = root.rstrip("/")
        self._local = self._files.type_name == "local"

    def check(self) -> None:
        """Check that the store is there.

        Raises:
            HostError: it is not, or does not let this process in.
        """
        root = self._root if self._local else self._root.partition("/")[0]
        with self._errors():
            missing = self._files.get_file_info(root).type == self._arrow.FileType.NotFound
        if missing:
            raise HostError(f"the storage {self._shown} is not there: make the bucket or the folder first")

    def arrow(self) -> tuple[Any, str]:
        """Return the file system, and the path of the address in it.

        Returns:
            What ``pyarrow.fs.FileSystem.from_uri`` returns.
        """
        return self._files, self._root

    def read(self, name: str, most: int = _MOST_BYTES) -> bytes | None:
        """Read an object.

        Args:
            name: its name.
            most: the largest size.

        Returns:
            Its content; None if there is no such object.

        Raises:
            HostError: the store cannot be used, or the object is too large for what it should be.
        """
        with self._errors():
            try:
                with self._files.open_input_stream(self._path(name)) as stream:
                    content: bytes = stream.read(most + 1)
            except FileNotFoundError:
                return None
        if len(content) > most:
            raise HostError(f"{name} on the storage {self._shown} is larger than {most:,} bytes")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write an object, whole or not at all.

        Args:
            name: its name.
            content: its content.

        Raises:
            HostError: the store cannot be used.
        """
        path = self._path(name)
        with self._errors():
            if not self._local:
                with self._files.open_output_stream(path) as stream:
                    stream.write(content)
                return
            self._files.create_dir(path.rpartition("/")[0])
            with self._files.open_output_stream(f"{path}.part") as stream:
                stream.write(content)
            self._files.move(f"{path}.part", path)

    def exists(self, name: str) -> bool:
        """Say whether there is an object, or objects below a name.

        Args:
            name: the name.

        Returns:
            Whether there are any.
        """
        with self._errors():
            return bool(self._files.get_file_info(self._path(name)).type != self._arrow.FileType.NotFound)

    def sizes(self, name: str) -> dict[str, int]:
        """List the objects below a name.

        Args:
            name: the name.

        Returns:
            Sizes in bytes by the rest of their names.
        """
        path = self._path(name)
        with self._errors():
            found = self._files.get_file_info(self._arrow.FileSelector(path, recursive=True, allow_not_found=True))
            files = [each for each in found if each.type == self._arrow.FileType.File]
        return {each.path.removeprefix(f"{path}/"): int(each.size) for each in files}

    def delete(self, name: str) -> None:
        """Delete an object, or all below a name, if there are any.

        Args:
            name: the name.
        """
        with self._errors():
            kind = self._files.get_file_info(self._path(name)).type
            if kind == self._arrow.FileType.File:
                self._files.delete_file(self._path(name))
            elif kind == self._arrow.FileType.Directory:
                self._files.delete_dir(self._path(name))

    def put(self, local: Path, name: str) -> None:
        """Copy a file, or all files of a folder, to the store.

        Args:
            local: the file or folder.
            name: its name there.
        """
        with self._errors():
            path = self._path(name)
            if self._local:
                self._files.create_dir(path if local.is_dir() else path.rpartition("/")[0])
            self._arrow.copy_files(str(local), path, self._arrow.LocalFileSystem(), self._files)

    def fetch(self, name: str, local: Path) -> None:
        """Copy all objects below a name to a folder.

        Args:
            name: the name.
            local: the folder; made if it is missing.
        """
        local.mkdir(parents=True, exist_ok=True)
        with self._errors():
            if self._files.get_file_info(self._path(name)).type != self._arrow.FileType.NotFound:
                self._arrow.copy_files(self._path(name), str(local), self._files, self._arrow.LocalFileSystem())

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # pyarrow's errors are both
            said = " ".join(str(error).split())[:1000]
            raise HostError(f"the storage {self._shown} cannot be used: {said}", passing=True) from None
