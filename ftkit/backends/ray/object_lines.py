"""JSON values that one process writes to an object store while another one reads on, as :class:`JsonLines` in a file.

Objects cannot grow, so the values are written in parts with rising numbers. What is appended while a part is written
goes into the next one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

from ftkit.backends.ray.json_lines import check_line
from ftkit.backends.ray.object_store import ObjectStore
from ftkit.errors import HostError

__all__ = ["ObjectLines"]

_PLACES = 1_000_000
"""A place is the number of a part times this, plus the number of a value in it."""
_PART_BYTES = 8 << 20
_TRIES, _PAUSE_S = 6, 1.0
"""How often a part is written, and the pause after the first failure, which doubles."""


class ObjectLines:
    """One object of this class writes; any number read.

    Args:
        store: the store.
        name: what the names of the parts begin with.
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store, self._name = store, name
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._writer: threading.Thread | None = None
        self._failed: HostError | None = None
        self._closed = False

    def append(self, value: dict[str, Any]) -> None:
        """Add a value. It is written soon.

        Args:
            value: plain JSON values.

        Raises:
            ConfigError: it is longer than what the other side reads.
            HostError: an earlier value could not be written.
        """
        line = check_line(json.dumps(value).encode() + b"\n")
        with self._changed:
            if self._failed is not None:
                raise HostError(str(self._failed), passing=True)
            if self._closed:
                return
            self._waiting.append(line)
            self._changed.notify()
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name=self._name, daemon=True)
                self._writer.start()

    def read(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read values.

        Args:
            start: the place at which the first one begins; 0 is the first of all.

        Yields:
            The place after each value, and the value.

        Raises:
            HostError: the store cannot be used.
        """
        part, seen = divmod(start, _PLACES)
        while (content := self._store.read(f"{self._name}/{part:08d}")) is not None:
            lines = content.splitlines()
            for number, line in enumerate(lines[seen:], seen + 1):
                place = (part + 1) * _PLACES if number == len(lines) else part * _PLACES + number
                yield place, cast(dict[str, Any], json.loads(line))
            part, seen = part + 1, 0

    def close(self) -> None:
        """Write nothing more. A part that is being written is waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            writer = self._writer
        if writer is not None and writer is not threading.current_thread():
            writer.join(_PAUSE_S * 10)

    def _write(self) -> None:
        part = 0
        while (content := self._next()) is not None:
            pause = _PAUSE_S
            for attempt in range(1, _TRIES + 1):
                try:
                    self._store.write(f"{self._name}/{part:08d}", content)
                    break
                except HostError as error:
                    if attempt == _TRIES:
                        with self._changed:
                            self._failed = error
                        return
                if self._closed:
                    return
                time.sleep(pause)
                pause *= 2
            part += 1

    def _next(self) -> bytes | None:
        """The next part; None after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            count = size = 0
            for line in self._waiting[: _PLACES - 1]:
                if count and size + len(line) > _PART_BYTES:
                    break
                count, size = count + 1, size + len(line)
            content = b"".join(self._waiting[:count])
            del self._waiting[:count]
            return content
