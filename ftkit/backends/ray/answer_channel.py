"""How calls to replicas and their replies travel over the storage of a cluster."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.ray.json_lines import JsonLines, Lines
from ftkit.backends.ray.object_lines import ObjectLines
from ftkit.backends.ray.object_store import ObjectStore, is_address
from ftkit.files import create_folder, remove_folder

__all__ = ["AnswerChannel", "answer_channel"]

_CALLS, _REPLIES = "calls.jsonl", "replies.jsonl"
_CHECK_S = 5.0


class AnswerChannel(ABC):
    """Two files, of which each side appends to one and reads the other one.

    Attributes:
        poll_s: seconds after which it is worth reading again.
    """

    poll_s = 0.1
    _calls: Lines
    _replies: Lines

    @abstractmethod
    def open(self) -> None:
        """Prepare it, by the side that calls."""

    @abstractmethod
    def is_open(self) -> bool:
        """Say whether the side that calls is still there, as far as is known.

        Returns:
            Whether it is.
        """

    @abstractmethod
    def delete(self) -> None:
        """Remove all of it from the storage. What is appended afterwards raises a FileNotFoundError, or is left out."""

    def ask(self, value: dict[str, Any]) -> None:
        """Append to the calls.

        Args:
            value: plain JSON values.
        """
        self._calls.append(value)

    def calls(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read calls.

        Args:
            start: the place at which the first one begins; 0 is the first of all.

        Returns:
            The place after each, and the call.
        """
        return self._calls.read(start)

    def reply(self, value: dict[str, Any]) -> None:
        """Append to the replies.

        Args:
            value: plain JSON values.
        """
        self._replies.append(value)

    def replies(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read replies.

        Args:
            start: the place at which the first one begins; 0 is the first of all.

        Returns:
            The place after each, and the reply.
        """
        return self._replies.read(start)


def answer_channel(storage: str, name: str) -> AnswerChannel:
    """Name a channel.

    Args:
        storage: the shared folder, or the address of an object store.
        name: name of the job that answers.

    Returns:
        The channel.
    """
    return _Objects(storage, name) if is_address(storage) else _Folder(storage, name)


class _Folder(AnswerChannel):
    def __init__(self, storage: str, name: str) -> None:
        self._folder = Path(storage) / "answering" / name
        self._calls, self._replies = JsonLines(self._folder / _CALLS), JsonLines(self._folder / _REPLIES)

    @override
    def open(self) -> None:
        create_folder(self._folder)
        for name in (_CALLS, _REPLIES):
            (self._folder / name).touch()

    @override
    def is_open(self) -> bool:
        return self._folder.is_dir()

    @override
    def delete(self) -> None:
        remove_folder(self._folder)


class _Objects(AnswerChannel):
    poll_s = 0.3

    def __init__(self, storage: str, name: str) -> None:
        self._store, self._name = ObjectStore(storage), f"answering/{name}"
        self._calls = ObjectLines(self._store, f"{self._name}/{_CALLS}")
        self._replies = ObjectLines(self._store, f"{self._name}/{_REPLIES}")
        self._checked_at, self._is_open = float("-inf"), True
        self._check_lock = threading.Lock()

    @override
    def open(self) -> None:
        self._store.write(f"{self._name}/open", b"")

    @override
    def is_open(self) -> bool:
        with self._check_lock:
            if self._is_open and time.monotonic() - self._checked_at > _CHECK_S:
                self._is_open = self._store.exists(f"{self._name}/open")
                self._checked_at = time.monotonic()
            return self._is_open

    @override
    def delete(self) -> None:
        self._is_open = False
        for lines in (self._calls, self._replies):
            lines.close()
        self._store.delete(self._name)
