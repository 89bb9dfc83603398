"""Plain HTTP for hosts without an OpenAI-like SDK: one attempt a call, and every failure is a HostError."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ftkit.backends.hosted.body_file import content_length, write_pieces
from ftkit.backends.hosted.bounded_body import PLAIN_HEADERS, BodyLimitError, bound_body, to_file
from ftkit.backends.hosted.host_errors import broken_call_error, proxy_errors, redirect_error, refusal_error, was_sent
from ftkit.errors import HostError
from ftkit.extras import require

__all__ = ["Http"]

_REDIRECTS = (301, 302, 303, 307, 308)


class Http:
    """HTTP calls to one host, with its key.

    The first argument of each method, ``action``, says in messages what the call does, e.g. ``"creating the job"``.

    Args:
        name: name of the host, which messages begin with.
        url: base URL.
        key: sent as a bearer token, and to ``url`` only.
        timeout_s: time limit of one call in seconds.
    """

    def __init__(self, name: str, url: str, key: str, timeout_s: float = 120.0) -> None:
        httpx = require("httpx", extra="openai", needed_for=f"the backend {name}")
        self.name, self.url = name, url
        self._key, self._httpx = key, httpx
        options: dict[str, Any] = {"timeout": timeout_s, "event_hooks": {"response": [bound_body]}}
        with proxy_errors(name):
            self._client: Any = httpx.Client(
                base_url=url,
                headers={"authorization": f"Bearer {key}", **PLAIN_HEADERS},
                follow_redirects=False,
                **options,
            )
            # Signed URLs grant access by themselves and must not receive the key.
            self._client_without_key: Any = httpx.Client(headers=PLAIN_HEADERS, **options)
            self._client_without_key.event_hooks["request"].append(self._check_hop)

    @property
    def secret(self) -> str:
        """The key."""
        return self._key

    def __repr__(self) -> str:
        return f"Http({self.name!r}, {self.url!r})"

    def json(self, action: str, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send a request and return the JSON object of the response.

        Args:
            action: what the call does.
            method: HTTP method.
            path: path below the base URL.
            **options: options of ``httpx.Client.request``.

        Returns:
            The parsed body.

        Raises:
            HostError: the call failed, or the body is not a JSON object.
        """
        response = self.send(action, method, path, **options)
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            failure = broken_call_error(action, "the response is not a JSON object", host=self.name, secret=self._key)
            raise failure
        return body

    def send(self, action: str, method: str, path: str, *, accept: tuple[int, ...] = (), **options: Any) -> Any:
        """Send a request and return the response.

        Args:
            action: what the call does.
            method: HTTP method.
            path: path below the base URL.
            accept: statuses from 300 on that are not errors.
            **options: options of ``httpx.Client.request``.

        Returns:
            The ``httpx.Response``.
        """
        return self._checked(action, self._client, method, path, accept, options)

    def put_signed(self, action: str, url: str, path: Path) -> None:
        """Upload a file to a signed URL, without the key.

        Args:
            action: what the call does.
            url: the signed URL.
            path: the file.
        """
        with path.open("rb") as file:
            options = {"content": file, "headers": {"content-length": str(path.stat().st_size)}}
            self._checked(action, self._client_without_key, "PUT", url, (), options)

    def download(self, action: str, path: str, target: Path, params: Mapping[str, str]) -> None:
        """Write the response of a request to a file. Redirects to signed URLs are followed without the key.

        Args:
            action: what the call does.
            path: path below the base URL.
            target: the file to write.
            params: query parameters.
        """
        response = self._checked(action, self._client, "GET", path, _REDIRECTS, {"params": dict(params)}, target)
        if response.is_redirect:
            self.download_signed(action, response.headers["location"], target)

    def download_signed(self, action: str, url: str, target: Path) -> None:
        """Write what is at a signed URL to a file, without sending the key.

        Args:
            action: what the call does.
            url: the signed URL.
            target: the file to write.
        """
        self._checked(action, self._client_without_key, "GET", url, (), {"follow_redirects": True}, target)

    def _check_hop(self, request: Any) -> None:
        """Refuse addresses of signed URLs, and of what they redirect to, that a host should not send anybody to.

        Raises:
            _AddressError: rows or weights would travel without encryption although the host is encrypted, or a host of
                the internet names an address of this machine or its network.
        """
        if not self.url.startswith("https://"):
            return
        if request.url.scheme != "https":
            raise _AddressError("the host gave an address without encryption, which is not used")
        if _is_inside(request.url.host) and not _is_inside(self._httpx.URL(self.url).host):
            raise _AddressError("the host gave an address inside of this network, which is not used")

    def _checked(
        self,
        action: str,
        client: Any,
        method: str,
        path: str,
        accept: tuple[int, ...],
        options: dict[str, Any],
        target: Path | None = None,
    ) -> Any:
        """The response. With ``target``, the body of a success is streamed there, because weights are large."""
        failure: HostError | None = None
        response: Any = None
        try:
            if target is None:
                response = client.request(method, path, **options)
            else:
                with to_file(), client.stream(method, path, **options) as response:
                    _save(response, target)
        except _AddressError as error:
            failure = HostError(f"{self.name}: {action}: {error}")
        except BodyLimitError as error:
            failure = broken_call_error(action, str(error), host=self.name, secret=self._key)
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            timed_out = isinstance(error, self._httpx.TimeoutException)
            reason = "it timed out" if timed_out else f"{type(error).__name__}: {error}"
            failure = broken_call_error(action, reason, host=self.name, secret=self._key, sent=was_sent(error))
        if failure is not None:
            # Raised outside of the except clause: the caught error holds the request with the key, and would otherwise
            # become the context of this one.
            raise failure
        if response.has_redirect_location and response.status_code not in accept:
            raise redirect_error(action, response.headers["location"], host=self.name, secret=self._key)
        if response.status_code >= 300 and response.status_code not in accept:
            raise refusal_error(
                action, response.status_code, response.text, response.headers, host=self.name, secret=self._key
            )
        return response


class _AddressError(Exception):
    """An address that is not used."""


def _is_inside(host: str) -> bool:
    """Whether a host is an address of this machine or its network."""
    if host == "localhost":
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def _save(response: Any, target: Path) -> None:
    """Write the body of a success to a file; read the body of any other response into memory."""
    if not response.is_success:
        response.read()
        return
    write_pieces(response.iter_bytes(), target, content_length(response.headers))
