"""Ask a server for ``/health`` all the time, in a process of its own: threads beside other work would wait for that."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

_INTERVAL_S = 0.01


class HealthWatch:
    """The process. Usable as a context manager.

    Args:
        url: the server's address.
    """

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.health_watch", url],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.longest()  # it is connected

    def longest(self) -> float:
        """The longest wait in seconds since this was called last. It also waits for one whole answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> HealthWatch:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


class _Asking(threading.Thread):
    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=120)
        self._longest, self._asked, self._lock = 0.0, 0, threading.Condition()

    def run(self) -> None:
        while True:
            asked = time.monotonic()
            self._connection.request("GET", "/health")
            assert json.load(self._connection.getresponse())["status"] == "ok"
            with self._lock:
                self._longest = max(self._longest, time.monotonic() - asked)
                self._asked += 1
                self._lock.notify()
            time.sleep(_INTERVAL_S)

    def take(self) -> float:
        with self._lock:
            until = self._asked + 1
            assert self._lock.wait_for(lambda: self._asked >= until, 120)
            found, self._longest = self._longest, 0.0
            return found


def main() -> None:
    asking = _Asking(sys.argv[1])
    asking.start()
    for _ in sys.stdin:
        print(asking.take(), flush=True)


if __name__ == "__main__":
    main()
