"""Calls through OpenAI's SDK: one attempt each, and every failure is a :class:`~ftkit.errors.HostError`."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from ftkit.backends.deadline import Deadline
from ftkit.backends.hosted.body_file import content_length, write_pieces
from ftkit.backends.hosted.bounded_body import PLAIN_HEADERS, BodyLimitError, bound_body, to_file
from ftkit.backends.hosted.host_errors import broken_call_error, proxy_errors, redirect_error, refusal_error, was_sent
from ftkit.errors import HostError
from ftkit.extras import require

__all__ = ["Sdk", "to_dict"]

Response = TypeVar("Response")


class Sdk:
    """The SDK's client for one host, without the SDK's own retries.

    The first argument of each method, ``action``, says in messages what the call does, e.g. ``"creating the job"``.

    Args:
        name: name of the host, which messages begin with.
        url: base URL.
        key: the API key; sent in requests only.
        timeout_s: time limit of one call in seconds.

    Attributes:
        client: the ``openai.OpenAI`` client.
    """

    def __init__(self, name: str, url: str, key: str, timeout_s: float = 120.0) -> None:
        openai = require("openai", extra="openai", needed_for=f"the backend {name}")
        self.name, self.url = name, url
        self._key = key
        self._openai: Any = openai
        # The SDK's own retries would create a job twice.
        self._options: dict[str, Any] = {"api_key": key, "base_url": url, "max_retries": 0, "timeout": timeout_s}
        with proxy_errors(name):
            http_client = _http_client(openai)
        self.client: Any = self._without_openais_headers(openai.OpenAI(**self._options, http_client=http_client))
        self._async_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()

    @property
    def secret(self) -> str:
        """The key."""
        return self._key

    def __repr__(self) -> str:
        return f"Sdk({self.name!r}, {self.url!r})"

    def call(self, action: str, call: Callable[[], Response]) -> Response:
        """Call the SDK.

        Args:
            action: what the call does.
            call: the call.

        Returns:
            What ``call`` returns.

        Raises:
            HostError: it failed; says whether a retry may help, and whether the host may have acted.
        """
        try:
            return _checked(call())
        except Exception as error:
            failure = self._host_error(action, error)
        # Raised outside of the except clause: the caught error holds the request with the key, and would otherwise
        # become the context of this one.
        raise failure

    def time_limit(self, deadline: Deadline | None) -> dict[str, float]:
        """Return the argument of the SDK's methods that ends a call by a deadline.

        Args:
            deadline: the deadline; None if there is none.

        Returns:
            ``timeout`` if it is shorter than that of the client.
        """
        if deadline is None or deadline.remaining_s >= self._options["timeout"]:
            return {}
        return {"timeout": max(0.01, deadline.remaining_s)}

    async def call_async(self, action: str, call: Awaitable[Response]) -> Response:
        """Await a call of the SDK; as :meth:`call`.

        Args:
            action: what the call does.
            call: the call.

        Returns:
            What ``call`` returns.

        Raises:
            HostError: it failed.
        """
        try:
            return _checked(await call)
        except Exception as error:
            failure = self._host_error(action, error)
        raise failure

    def download(self, action: str, opening: Any, target: Path) -> None:
        """Write the body of a streamed response to a file.

        Args:
            action: what the call does.
            opening: the context manager of a streamed response.
            target: the file.
        """

        def write() -> bool:
            with to_file(), opening as response:
                write_pieces(response.iter_bytes(), target, content_length(response.headers))
            return True

        self.call(action, write)

    def async_client(self) -> Any:
        """Return the client of the running event loop, which owns its connections.

        Returns:
            The ``openai.AsyncOpenAI`` client.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            with proxy_errors(self.name):
                http_client = _async_http_client(self._openai)
            client = self._openai.AsyncOpenAI(**self._options, http_client=http_client)
            self._async_clients[loop] = self._without_openais_headers(client)
        return self._async_clients[loop]

    def _without_openais_headers(self, client: Any) -> Any:
        """The client without the headers that the SDK makes of OPENAI_ORG_ID and OPENAI_PROJECT_ID, at other hosts."""
        if self.name != "openai":
            client.organization = client.project = None
        return client

    def refusal(self, action: str, status: int, body: Any) -> HostError:
        """Return the error for a refusal inside of another response, as in the output of a batch.

        Args:
            action: what the call does.
            status: HTTP status of the refusal.
            body: its body.

        Returns:
            The error.
        """
        return refusal_error(action, status, body, {}, host=self.name, secret=self._key)

    def _host_error(self, action: str, error: Exception) -> Exception:
        openai = self._openai
        if isinstance(error, HostError):
            return error
        for redirect in (error, error.__cause__):
            if isinstance(redirect, _RedirectError):
                return redirect_error(action, str(redirect), host=self.name, secret=self._key)
        if isinstance(error, openai.APIStatusError):
            body = error.body if error.body is not None else error.response.text
            headers = error.response.headers
            return refusal_error(action, error.status_code, body, headers, host=self.name, secret=self._key)
        if isinstance(error, openai.APITimeoutError):
            return self._broken(action, "it timed out", sent=was_sent(error.__cause__))
        if isinstance(error, openai.APIConnectionError):
            return self._broken(action, str(error.__cause__ or error), sent=was_sent(error.__cause__))
        if isinstance(error, openai.OpenAIError | json.JSONDecodeError | _IncompleteError):
            return self._broken(action, f"{type(error).__name__}: {error}")
        if type(error).__module__.split(".")[0] in ("httpx", "httpcore", "httpx2", "httpcore2"):
            return self._broken(action, f"{type(error).__name__}: {error}")
        if isinstance(error, BodyLimitError):
            return self._broken(action, str(error))
        if _raising_package(error) in _READERS:  # the SDK fails on responses that are not JSON objects
            return self._broken(action, "the response is not a JSON object")
        return error

    def _broken(self, action: str, reason: str, *, sent: bool = True) -> HostError:
        return broken_call_error(action, reason, host=self.name, secret=self._key, sent=sent)


_READERS = ("openai", "json", "codecs", "encodings")
"""Packages that raise errors of many kinds when a body is not what it should be: damaged, nested too deep."""


def _raising_package(error: Exception) -> str:
    """The package whose code raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


class _IncompleteError(Exception):
    """A response that is not an object."""


class _RedirectError(Exception):
    """A redirect that is not followed. The message is its target."""


def _http_client(openai: Any) -> Any:
    return openai.DefaultHttpxClient(headers=PLAIN_HEADERS, event_hooks={"response": [_check_redirect, bound_body]})


def _async_http_client(openai: Any) -> Any:
    async def check(response: Any) -> None:
        _check_redirect(response)
        bound_body(response)

    return openai.DefaultAsyncHttpxClient(headers=PLAIN_HEADERS, event_hooks={"response": [check]})


def _check_redirect(response: Any) -> None:
    """Raise if a request with contents is redirected to another host, or would lose its contents.

    The HTTP library removes the key from a request that is redirected to another host, but not its body. It also makes
    a GET of a POST that is redirected with 301, 302 or 303.

    Args:
        response: a response of the HTTP library.

    Raises:
        _RedirectError: the redirect is not to be followed.
    """
    if not response.has_redirect_location or response.request.method in ("GET", "HEAD"):
        return
    url = response.request.url
    target = url.join(response.headers["location"])
    same_host = target.host == url.host and (
        (target.scheme, target.port) == (url.scheme, url.port)
        or (url.scheme, url.port, target.scheme, target.port) == ("http", None, "https", None)
    )
    if response.status_code not in (307, 308) or not same_host:
        raise _RedirectError(str(target))


def _checked(response: Response) -> Response:
    if isinstance(response, str) or response is None:  # the SDK's result for a body that is not JSON
        raise _IncompleteError("the response is not a JSON object")
    return response


def to_dict(value: Any) -> dict[str, Any]:
    """Return an object of the SDK as plain data, with the fields that the SDK does not know.

    Args:
        value: the object.

    Returns:
        The plain data.

    Raises:
        HostError: it is not an object.
    """
    if isinstance(value, dict):
        return value
    if not hasattr(value, "to_dict"):
        raise HostError("the host sent no JSON object", passing=True, unsure=True)
    data: dict[str, Any] = value.to_dict(mode="json", warnings=False)
    return data
