"""Read and validate JSON bodies and query parameters."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError
from starlette.requests import ClientDisconnect, Request

from ftkit.errors import DataError
from ftkit.server.errors import ApiError
from ftkit.server.json_body import parse_object
from ftkit.server.settings import Settings
from ftkit.server.workers import WorkerPool

__all__ = [
    "check_list_query",
    "invalid",
    "page_limit",
    "parse_json_body",
    "refuse_extra",
    "validate_body",
]

_UNION_BRANCHES = {"int", "float", "constrained-int", "constrained-float", "literal['auto']"}

_MAX_INLINE_BYTES = 64 * 1024
"""Bodies up to this size are parsed in the event loop, which takes a few milliseconds at most. Larger ones are parsed
and validated in a worker: a hundred thousand wrong values make as many errors."""

Body = TypeVar("Body", bound=BaseModel)


async def parse_json_body(request: Request, model: type[Body], max_bytes: int | None = None) -> Body:
    """Read the body of a request as JSON and validate it.

    Args:
        request: the HTTP request.
        model: pydantic model of the body.
        max_bytes: limit on the body's size, where it is lower than that of the settings.

    Returns:
        The validated body.

    Raises:
        ApiError: 413 if the body is too large; 400 if it is not a JSON object, or a field is missing, unknown or out
            of range.
    """
    settings: Settings = request.app.state.settings
    limit = min(settings.max_body_bytes, max_bytes or settings.max_body_bytes)
    chunks, size = list[bytes](), 0
    try:
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                message = f"The body is larger than {limit:,} bytes; upload rows as files."
                raise ApiError(413, message, code="request_too_large")
    except ClientDisconnect:
        raise ApiError(400, "The connection was closed before the end of the body.") from None
    workers: WorkerPool = request.app.state.workers
    if size <= _MAX_INLINE_BYTES:
        return _read(chunks, model)
    return await workers.call(_read, chunks, model)


def _read(chunks: list[bytes], model: type[Body]) -> Body:
    try:
        value = parse_object(b"".join(chunks))
    except DataError as error:
        raise ApiError(400, f"We could not parse the JSON body of your request: {error.message}.") from None
    return validate_body(model, value)


def validate_body(model: type[Body], fields: dict[str, Any]) -> Body:
    """Validate a body.

    Args:
        model: pydantic model of the body.
        fields: the body's fields.

    Returns:
        The validated body.

    Raises:
        ApiError: 400 if a field is missing, unknown or out of range.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # pydantic adds the branch of a union to the location, which clients do not know.
        param = ".".join(str(part) for part in first["loc"] if str(part) not in _UNION_BRANCHES) or None
        if first["type"] == "missing":
            message, code = f"Missing required parameter: '{param}'.", "missing_required_parameter"
        elif first["type"] == "extra_forbidden":
            message, code = f"Unknown parameter: '{param}'.", "unknown_parameter"
        else:
            problem = first["msg"].removeprefix("Value error, ")
            param = param or first.get("ctx", {}).get("param")
            message = f"Invalid value for '{param}': {problem}." if param else f"Invalid request: {problem}."
            code = "invalid_value"
        raise ApiError(400, message, param=param, code=code) from None


def invalid(param: str, problem: str) -> PydanticCustomError:
    """Make the error of a validator that checks several parameters together.

    Args:
        param: the parameter that is wrong.
        problem: what is wrong with it.

    Returns:
        The error, to be raised in a validator.
    """
    return PydanticCustomError("value_error", "{problem}", {"param": param, "problem": problem})


def check_list_query(request: Request, *known: str) -> None:
    """Refuse query parameters of a list that nothing reads, such as ``before``.

    Args:
        request: the HTTP request.
        *known: the parameters that are read.

    Raises:
        ApiError: 400 if there is another one. ``api-version``, which clients of Azure send, is passed over.
    """
    for name in request.query_params:
        if name not in (*known, "api-version"):
            message = f"Unknown parameter: '{name[:80]}'."
            raise ApiError(400, message, param=name[:80], code="unknown_parameter")


def page_limit(request: Request, default: int, maximum: int) -> int:
    """Return the query parameter ``limit``.

    Args:
        request: the HTTP request.
        default: value if the parameter is missing.
        maximum: largest value.

    Returns:
        A number from 1 to ``maximum``.

    Raises:
        ApiError: 400 if the value is not such a number.
    """
    text = request.query_params.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= maximum):
        message = f"Invalid value for 'limit': {text[:40]!r} is not a number from 1 to {maximum}."
        raise ApiError(400, message, param="limit", code="invalid_value")
    return int(text)


def refuse_extra(extra: Mapping[str, Any], neutral: Mapping[str, Container[Any]]) -> None:
    """Refuse parameters that are unknown or would have no effect.

    Args:
        extra: the parameters that a body has beside its fields.
        neutral: OpenAI's parameters that this server does not support, and the values that ask for nothing.

    Raises:
        ApiError: 400 for the first of them.
    """
    for name, value in extra.items():
        if name not in neutral:
            raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        if value is not None and value not in neutral[name]:
            message = f"Unsupported parameter: '{name}' is not supported by this server."
            raise ApiError(400, message, param=name, code="unsupported_parameter")
