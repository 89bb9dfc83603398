"""Errors in OpenAI's format: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from typing import Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from ftkit.errors import BusyError, ConfigError, DataError, FtkitError, StorageError
from ftkit.server.workers import WorkerLimitError

__all__ = ["HANDLERS", "ApiError", "ErrorType", "as_api_error", "busy", "error_response", "not_found", "renamed"]

ErrorType = Literal[
    "invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error"
]

_log = logging.getLogger("ftkit.server")


class ApiError(Exception):
    """An error response.

    Args:
        status: HTTP status.
        message: what is wrong and what to do about it.
        type: OpenAI's type of the error.
        param: name of the invalid parameter.
        code: error code for programs.
        headers: HTTP headers of the response, e.g. ``retry-after``.
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

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it, as workers raise it."""
        return type(self), (self.status, self.message, self.type, self.param, self.code, self.headers)


def not_found(kind: str, name: str, *, param: str | None = "id", code: str | None = None) -> ApiError:
    """Return the error for an object that does not exist or belongs to another project.

    Args:
        kind: the kind of object.
        name: the requested id.
        param: name of the parameter.
        code: error code for programs.

    Returns:
        An error with status 404.
    """
    return ApiError(404, f"No such {kind}: {name}", param=param, code=code)


def renamed(error: ApiError, names: Mapping[str, str]) -> ApiError:
    """Give an error of a chat completion the names of another API that is answered by one.

    Args:
        error: the error.
        names: that API's parameters by those of chat completions.

    Returns:
        The same error, whose message and parameter a client of that API understands.
    """
    message, param = error.message, error.param
    for chat_name, name in names.items():
        message = message.replace(f"'{chat_name}", f"'{name}").replace(f" {chat_name} ", f" {name} ")
        if param is not None and (param == chat_name or param.startswith(f"{chat_name}.")):
            param = name  # a place among the messages is none among the items
    return ApiError(error.status, message, error.type, param, error.code, error.headers)


def busy(error: BusyError) -> ApiError:
    """Return the error for a full queue. OpenAI's clients wait and try again.

    Args:
        error: the queue's error.

    Returns:
        An error with status 429.
    """
    after = {"retry-after": str(int(error.retry_after_s))}
    message = f"The server is busy: {error}. Try again later."
    return ApiError(429, message, "rate_limit_error", code="rate_limit_exceeded", headers=after)


def error_response(error: ApiError) -> JSONResponse:
    """Convert an error to a response.

    Args:
        error: the error.

    Returns:
        A response in OpenAI's format.
    """
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return JSONResponse({"error": body}, error.status, error.headers)


async def _handle(request: Request, error: Exception) -> JSONResponse:
    answer = as_api_error(request, error)
    if answer.status >= 500 and answer is not error:
        if _is_full(error):
            _log.error("the disk is full: %s", error)
        elif isinstance(error, FtkitError):
            _log.error("%s %r: %s", request.method, request.url.path, error)
        else:
            _log.error("%s %r", request.method, request.url.path, exc_info=error)
    return error_response(answer)


def as_api_error(request: Request, error: Exception) -> ApiError:
    """Return the error that a client receives.

    Args:
        request: the HTTP request.
        error: what was raised while it was handled.

    Returns:
        The error itself if it is meant for clients; else one that tells nothing of the server's inside.
    """
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
    if isinstance(error, BusyError):
        return busy(error)
    if isinstance(error, WorkerLimitError):
        return ApiError(400, f"The request is too complex: {error}.", code="too_complex")
    if _is_full(error):
        return ApiError(507, "The server's disk is full; nothing was stored.", "server_error", code="disk_full")
    if isinstance(error, FtkitError):
        return ApiError(500, "The server could not handle the request; see its log.", "server_error")
    return ApiError(500, "The server had an error while it handled the request; see its log.", "server_error")


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(error, StorageError) and error.full


HANDLERS = dict.fromkeys((ApiError, HTTPException, FtkitError, OSError, Exception), _handle)
"""Handlers for ``Starlette(exception_handlers=…)``."""
