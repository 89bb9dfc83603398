"""Errors as OpenAI's clients read them: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import errno
import logging
import sqlite3
from typing import Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from ftkit.errors import BusyError, ConfigError, DataError, FtkitError

__all__ = ["HANDLERS", "ApiError", "ErrorType", "busy", "error_response", "not_found"]

ErrorType = Literal[
    "invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error"
]

_log = logging.getLogger("ftkit.server")


class ApiError(Exception):
    """A request that is refused.

    Args:
        status: of the HTTP answer.
        message: what was wrong, and what to do; the client's user reads it.
        type: OpenAI's family of errors.
        param: the parameter to blame.
        code: a word for programs.
        headers: to go with the answer, e.g. ``retry-after``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: ErrorType = "invalid_request_error",  # noqa: A002  (OpenAI's word)
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.type = status, message, type
        self.param, self.code, self.headers = param, code, headers


def not_found(what: str, name: str, *, param: str | None = "id", code: str | None = None) -> ApiError:
    """There is no such thing, or not for this key; which of the two is not told."""
    return ApiError(404, f"No such {what}: {name}", param=param, code=code)


def busy(error: BusyError) -> ApiError:
    """More is asked than can be answered soon; OpenAI's clients wait, and ask again."""
    after = {"retry-after": str(int(error.retry_after_s))}
    message = f"The server is busy: {error}. Try again later."
    return ApiError(429, message, "rate_limit_error", code="rate_limit_exceeded", headers=after)


def error_response(error: ApiError) -> JSONResponse:
    """The answer that tells of ``error``."""
    held = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return JSONResponse({"error": held}, error.status, error.headers)


async def _told(request: Request, error: Exception) -> JSONResponse:
    return error_response(_as_api_error(request, error))


def _as_api_error(request: Request, error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return ApiError(404, f"Invalid URL ({request.method} {request.url.path})", code="unknown_url")
        if error.status_code == 405:
            message = f"Not allowed to {request.method} on {request.url.path}"
            return ApiError(405, message, code="method_not_supported", headers=dict(error.headers or {}))
        return ApiError(error.status_code, str(error.detail))
    if isinstance(error, ConfigError | DataError):
        return ApiError(400, str(error))
    if _is_full(error):
        _log.error("the disk is full: %s", error)
        return ApiError(507, "The server's disk is full; nothing was kept.", "server_error", code="disk_full")
    if isinstance(error, FtkitError):
        _log.error("%s %s: %s", request.method, request.url.path, error)
        return ApiError(500, "The server could not do this; its log says why.", "server_error")
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    return ApiError(500, "The server had an error while it handled the request; its log says more.", "server_error")


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(error.__cause__, sqlite3.OperationalError) and "full" in str(error.__cause__)


HANDLERS = dict.fromkeys((ApiError, HTTPException, FtkitError, OSError, Exception), _told)
"""For ``Starlette(exception_handlers=…)``."""
