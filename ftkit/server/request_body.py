"""JSON bodies: never more in memory than is allowed, and every fault told with its parameter."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from ftkit.data import strict_json
from ftkit.errors import DataError, Place
from ftkit.server.errors import ApiError
from ftkit.server.settings import Settings

__all__ = ["page_limit", "parse_json_body", "validate_body"]

_BRANCHES = {"int", "float", "constrained-int", "constrained-float", "literal['auto']"}

Body = TypeVar("Body", bound=BaseModel)


async def parse_json_body(request: Request, kind: type[Body], most: int | None = None) -> Body:
    """The request's body as ``kind``.

    Args:
        most: bytes that it may have, if fewer than the settings allow.

    Raises:
        ApiError: it is too large, no JSON object, or a field is missing, unknown or out of range.
    """
    settings: Settings = request.app.state.settings
    limit = min(settings.max_body_bytes, most or settings.max_body_bytes)
    raw = bytearray()
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > limit:
                message = f"The body is larger than {limit:,} bytes; send rows as files."
                raise ApiError(413, message, code="request_too_large")
    except ClientDisconnect:
        raise ApiError(400, "The body ended too early.") from None
    place = Place("body", 1)
    try:
        found = strict_json.parse(strict_json.decode(bytes(raw), place, 0), place)
    except DataError as error:
        raise ApiError(400, f"We could not parse the JSON body of your request: {error.message}.") from None
    if not isinstance(found, dict):
        raise ApiError(400, "The body must be a JSON object.")
    return validate_body(kind, found)


def validate_body(kind: type[Body], found: dict[str, Any]) -> Body:
    """``found`` as ``kind``; raises as :func:`parse_json_body`."""
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        # pydantic names the branch of a union in the place too; a client knows nothing of it.
        param = ".".join(str(part) for part in first["loc"] if str(part) not in _BRANCHES) or None
        if first["type"] == "missing":
            message, code = f"Missing required parameter: '{param}'.", "missing_required_parameter"
        elif first["type"] == "extra_forbidden":
            message, code = f"Unknown parameter: '{param}'.", "unknown_parameter"
        else:
            message = f"Invalid value for '{param}': {first['msg'].removeprefix('Value error, ')}."
            code = "invalid_value"
        raise ApiError(400, message, param=param, code=code) from None


def page_limit(request: Request, default: int, most: int) -> int:
    """The query's ``limit``.

    Raises:
        ApiError: it is no number from 1 to ``most``.
    """
    said = request.query_params.get("limit")
    if said is None:
        return default
    if not (said.isascii() and said.isdigit() and len(said) <= 6 and 1 <= int(said) <= most):
        message = f"Invalid value for 'limit': {said[:40]!r} is no number from 1 to {most}."
        raise ApiError(400, message, param="limit", code="invalid_value")
    return int(said)
