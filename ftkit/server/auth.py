"""API keys, and the middleware that checks them and refuses cross-origin requests."""

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
"""Project of every request while there are no keys."""

_PUBLIC_PATHS = ("/health",)
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored API key. The secret itself is shown once, when it is created."""

    id: str
    project: str
    created_at: int


class ApiKeys:
    """The API keys of a server, each of one project.

    Only SHA-256 digests are stored. A key has 32 random bytes, so it cannot be found by trying.

    Args:
        state: the server's tables.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self, project: str) -> str:
        """Create a key.

        Args:
            project: the key's project: at most 64 letters, digits, ``-`` and ``_``.

        Returns:
            The secret.

        Raises:
            ConfigError: the project's name is invalid.
        """
        if (
            not project
            or len(project) > 64
            or not all(character.isalnum() or character in "-_" for character in project)
        ):
            raise ConfigError(f"invalid project name {project!r}: use at most 64 letters, digits, - and _")
        secret = f"sk-ftkit-{secrets.token_urlsafe(32)}"
        with self._state.connection() as connection:
            connection.execute(
                "INSERT INTO keys (id, project, digest, created_at) VALUES (?, ?, ?, ?)",
                (new_id("key_", 8), project, _digest(secret), int(time.time())),
            )
        return secret

    def all(self) -> list[ApiKey]:
        """List all keys.

        Returns:
            The keys, oldest first.
        """
        with self._state.connection() as connection:
            rows = connection.execute("SELECT id, project, created_at FROM keys ORDER BY created_at, id").fetchall()
        return [ApiKey(*row) for row in rows]

    def revoke(self, key_id: str) -> None:
        """Revoke a key. It is refused from the next request on.

        Args:
            key_id: the key's id.

        Raises:
            ConfigError: there is no key with this id.
        """
        with self._state.connection() as connection:
            deleted = connection.execute("DELETE FROM keys WHERE id = ?", (key_id,)).rowcount
        if not deleted:
            raise ConfigError(f"there is no key {key_id!r}; list them with `ftkit serve keys list`")

    def project_of(self, secret: str) -> str | None:
        """Return the project of a key.

        Args:
            secret: the key.

        Returns:
            The project; ``None`` if the key is unknown.
        """
        with self._state.connection() as connection:
            # A lookup by digest leaks nothing about the keys through its time.
            row = connection.execute("SELECT project FROM keys WHERE digest = ?", (_digest(secret),)).fetchone()
        return None if row is None else str(row[0])

    def required(self) -> bool:
        """Check whether requests need a key, which they do as soon as there is one.

        Returns:
            True if there is a key.
        """
        with self._state.connection() as connection:
            return connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is not None


class AuthMiddleware:
    """Authenticate requests by API key and set ``request.state.project``. Browsers send the key as the password.

    Requests from web pages of another origin are refused. While no key is needed, so are requests to a host name that
    is not this machine's, because a web page can resolve its own name to this address (DNS rebinding).

    Args:
        app: the application behind this middleware.
        keys: the keys.
        loopback: whether only this machine can reach the server.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, *, loopback: bool) -> None:
        self._app, self._keys, self._loopback = app, keys, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req_")

        async def send_with_headers(message: Message) -> None:
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
            await error_response(error)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _project(self, headers: Headers, method: str, path: str) -> str:
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if _cross_origin(headers, host, method):
            raise ApiError(
                403, "Requests from web pages of another origin are refused.", "permission_error", code="wrong_origin"
            )
        if path in _PUBLIC_PATHS:
            return DEFAULT_PROJECT
        if not self._keys.required():
            if not self._loopback:  # the last key was revoked
                raise ApiError(401, "This server has no API keys, so it refuses all requests.", "authentication_error")
            if _hostname(host) not in _LOCAL_HOSTS:
                message = "Without API keys this server accepts requests to localhost only."
                raise ApiError(403, message, "permission_error", code="wrong_host")
            return DEFAULT_PROJECT
        secret = _credentials(headers)
        if secret is None:
            raise _unauthorized("You didn't provide an API key: send it as Authorization: Bearer KEY.")
        project = self._keys.project_of(secret)
        if project is None:
            raise _unauthorized("Incorrect API key provided.", code="invalid_api_key")
        requested = headers.get("openai-project")
        if requested is not None and requested != project:
            raise _unauthorized(f"The API key does not belong to the project {requested!r}.", code="mismatched_project")
        return project


def _unauthorized(message: str, code: str | None = None) -> ApiError:
    # Browsers then prompt for a name and a password; the password is the key.
    return ApiError(
        401, message, "authentication_error", code=code, headers={"www-authenticate": 'Basic realm="ftkit"'}
    )


def _credentials(headers: Headers) -> str | None:
    values = headers.getlist("authorization")
    if len(values) != 1:
        return None
    scheme, _, value = values[0].partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _cross_origin(headers: Headers, host: str, method: str) -> bool:
    """Check whether a web page of another origin sent the request. Following a link from there is allowed."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return True
    navigation = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not navigation


def _hostname(host: str) -> str:
    """Return the host name of a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
