"""Plain HTTP for hosts without an SDK of OpenAI's kind: one attempt a call, every failure a HostError."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftkit.backends.hosted.errors import broken, refused
from ftkit.errors import HostError
from ftkit.extras import require

__all__ = ["Http"]

_MOVED = (301, 302, 303, 307, 308)


class Http:
    """Calls to one host, with its key.

    Args:
        name: of the host, to begin messages with.
        url: base URL.
        key: sent as a bearer token, to ``url`` only.
        timeout_s: for one call.
    """

    def __init__(self, name: str, url: str, key: str, timeout_s: float = 120.0) -> None:
        httpx = require("httpx", extra="openai", needed_for=f"the backend {name}")
        self.name, self.url = name, url
        self._key, self._httpx = key, httpx
        self._client: Any = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=timeout_s, follow_redirects=False
        )
        # Signed addresses carry their own leave, and must not see the key.
        self._bare: Any = httpx.Client(timeout=timeout_s)

    def __repr__(self) -> str:
        return f"Http({self.name!r}, {self.url!r})"

    def json(self, doing: str, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON object that a call answers with."""
        answer = self.send(doing, method, path, **options)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise broken(doing, "it is no JSON object", host=self.name, secret=self._key)
        return found

    def send(self, doing: str, method: str, path: str, *, also: tuple[int, ...] = (), **options: Any) -> Any:
        """The answer; statuses from 300 on are errors, but for those in ``also``."""
        return self._checked(doing, self._client, method, path, also, options)

    def put_signed(self, doing: str, url: str, path: Path) -> None:
        """Send a file to a signed address."""
        with path.open("rb") as file:
            size = str(path.stat().st_size)
            self._checked(doing, self._bare, "PUT", url, (), {"content": file, "headers": {"content-length": size}})

    def fetch(self, doing: str, path: str, target: Path, params: Mapping[str, str]) -> None:
        """Write what a call answers with to ``target``; redirects to signed addresses are followed without the key."""
        answer = self._checked(doing, self._client, "GET", path, _MOVED, {"params": dict(params)}, target)
        if answer.is_redirect:
            self.get_signed(doing, answer.headers["location"], target)

    def get_signed(self, doing: str, url: str, target: Path) -> None:
        """Write what is at a signed address to ``target``."""
        self._checked(doing, self._bare, "GET", url, (), {"follow_redirects": True}, target)

    def _checked(
        self,
        doing: str,
        client: Any,
        method: str,
        path: str,
        also: tuple[int, ...],
        options: dict[str, Any],
        target: Path | None = None,
    ) -> Any:
        """The answer; with ``target`` a successful one goes there piece by piece, because weights are large."""
        failure: HostError | None = None
        answer: Any = None
        try:
            if target is None:
                answer = client.request(method, path, **options)
            else:
                with client.stream(method, path, **options) as answer:
                    _save(answer, target)
        except self._httpx.TimeoutException:
            failure = broken(doing, "it took too long", host=self.name, secret=self._key)
        except self._httpx.HTTPError as error:
            failure = broken(doing, f"{type(error).__name__}: {error}", host=self.name, secret=self._key)
        if failure is not None:
            raise failure  # out here, because the original holds the request, key included
        if answer.status_code >= 300 and answer.status_code not in also:
            raise refused(doing, answer.status_code, answer.text, answer.headers, host=self.name, secret=self._key)
        return answer


def _save(answer: Any, target: Path) -> None:
    """Write the body of a success; read that of anything else."""
    if not answer.is_success:
        answer.read()
        return
    with target.open("wb") as file:
        for piece in answer.iter_bytes():
            file.write(piece)
