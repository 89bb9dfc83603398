"""Who may ask: API keys, kept as digests, each of one project; and requests that a web page elsewhere made."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ftkit.errors import ConfigError
from ftkit.server.errors import ApiError, error_response
from ftkit.server.state import State, new_id

__all__ = ["DEFAULT_PROJECT", "ApiKey", "ApiKeys", "AuthMiddleware"]

DEFAULT_PROJECT = "default"
"""The project of every request while there are no keys."""

_OPEN_PATHS = ("/health",)
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key. The key itself is shown once, when it is made."""

    id: str
    project: str
    created_at: int


class ApiKeys:
    """The keys of a server.

    Only SHA-256 digests are kept. That is enough, because a key is 32 random bytes: nothing short can be tried out.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self, project: str) -> str:
        """A new key for ``project``.

        Raises:
            ConfigError: that is no name for a project.
        """
        if not project or len(project) > 64 or not all(one.isalnum() or one in "-_" for one in project):
            raise ConfigError(f"{project!r} is no name for a project: letters, digits, - and _, at most 64")
        secret = f"sk-ftkit-{secrets.token_urlsafe(32)}"
        with self._state.connection() as connection:
            connection.execute(
                "INSERT INTO keys (id, project, digest, created_at) VALUES (?, ?, ?, ?)",
                (new_id("key_", 8), project, _digest(secret), int(time.time())),
            )
        return secret

    def all(self) -> list[ApiKey]:
        """All keys, oldest first."""
        with self._state.connection() as connection:
            rows = connection.execute("SELECT id, project, created_at FROM keys ORDER BY created_at, id").fetchall()
        return [ApiKey(*row) for row in rows]

    def revoke(self, key_id: str) -> None:
        """Let a key open nothing any more, from the next request on.

        Raises:
            ConfigError: there is none of that id.
        """
        with self._state.connection() as connection:
            gone = connection.execute("DELETE FROM keys WHERE id = ?", (key_id,)).rowcount
        if not gone:
            raise ConfigError(f"there is no key {key_id!r}; `ftkit serve keys list` shows them")

    def project_of(self, secret: str) -> str | None:
        """The project that a key opens; ``None`` when it is no key."""
        with self._state.connection() as connection:
            # Looked up by digest: how long that takes says nothing about any key.
            row = connection.execute("SELECT project FROM keys WHERE digest = ?", (_digest(secret),)).fetchone()
        return None if row is None else str(row[0])

    def required(self) -> bool:
        """Whether requests need a key: as soon as there is one."""
        with self._state.connection() as connection:
            return connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None


class AuthMiddleware:
    """Lets requests in whose key is known, and sets ``request.state.project``. Browsers give the key as the password.

    Refuses what a web page of another origin sent, and, while no key is needed, requests to a name that is not this
    machine's: a page elsewhere can let its own name point here (DNS rebinding).

    Args:
        app: what is behind it.
        keys: the keys.
        loopback: whether only this machine can reach the server.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, *, loopback: bool) -> None:
        self._app, self._keys, self._loopback = app, keys, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req_")

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            scope.setdefault("state", {})["project"] = self._project(
                Headers(scope=scope), scope["method"], scope["path"]
            )
        except ApiError as error:
            await error_response(error)(scope, receive, send_marked)
            return
        await self._app(scope, receive, send_marked)

    def _project(self, headers: Headers, method: str, path: str) -> str:
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if _foreign(headers, host, method):
            raise ApiError(403, "Requests from pages elsewhere are refused.", "permission_error", code="wrong_origin")
        if path in _OPEN_PATHS:
            return DEFAULT_PROJECT
        if not self._keys.required():
            if not self._loopback:  # the last key was revoked
                raise ApiError(401, "This server has no API keys, so it answers nobody.", "authentication_error")
            if _name(host) not in _LOCAL_NAMES:
                message = "Without API keys the server answers to localhost only."
                raise ApiError(403, message, "permission_error", code="wrong_host")
            return DEFAULT_PROJECT
        given = _given(headers)
        if given is None:
            raise _refused("You didn't provide an API key: send it as Authorization: Bearer KEY.")
        project = self._keys.project_of(given)
        if project is None:
            raise _refused("Incorrect API key provided.", code="invalid_api_key")
        asked = headers.get("openai-project")
        if asked is not None and asked != project:
            raise _refused(f"The API key is not of the project {asked!r}.", code="mismatched_project")
        return project


def _refused(message: str, code: str | None = None) -> ApiError:
    # Browsers ask for a name and a password then; the password is the key.
    return ApiError(
        401, message, "authentication_error", code=code, headers={"www-authenticate": 'Basic realm="ftkit"'}
    )


def _given(headers: Headers) -> str | None:
    said = headers.getlist("authorization")
    if len(said) != 1:
        return None
    kind, _, value = said[0].partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _foreign(headers: Headers, host: str, method: str) -> bool:
    """Whether a page of another origin sent the request. Following a link from there is no such thing."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return True
    followed = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not followed


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
