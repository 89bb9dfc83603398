"""What travels between a backend and the program on the other machine beside plain JSON: errors and answers."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any, Protocol

from pydantic import TypeAdapter

from ftkit.backends.answer import Request
from ftkit.errors import BusyError, ConfigError, FtkitError, MissingExtraError, ModelError, OutputError, RefusedError
from ftkit.results.answer import Answer
from ftkit.schema import AnyOutput

__all__ = [
    "MAX_LINE_BYTES",
    "Tell",
    "answer_from_wire",
    "answer_to_wire",
    "error_from_wire",
    "error_to_wire",
    "request_from_wire",
    "request_to_wire",
]

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Longest line that either side reads."""
_MAX_MESSAGE = 20_000
_KINDS: dict[str, type[FtkitError]] = {
    name: kind
    for name, kind in vars(sys.modules[FtkitError.__module__]).items()
    if isinstance(kind, type) and issubclass(kind, FtkitError)
}
_OUTPUT: TypeAdapter[Any] = TypeAdapter(AnyOutput)


class Tell(Protocol):
    """Sends a part of a call's result before its end."""

    def __call__(self, item: Any) -> None:
        """Send a part.

        Args:
            item: plain JSON values.
        """
        ...


def error_to_wire(error: Exception) -> dict[str, Any]:
    """Describe an error for the other side.

    Args:
        error: the error.

    Returns:
        Plain JSON values.
    """
    known = isinstance(error, FtkitError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    return {
        "kind": type(error).__name__ if known else "",
        "message": text[:_MAX_MESSAGE],
        "fields": list(getattr(error, "fields", ())),
        "retry_after_s": getattr(error, "retry_after_s", None),
    }


def error_from_wire(said: dict[str, Any], machine: str, backend: str) -> FtkitError:
    """Return an error of the other side.

    Args:
        said: what :func:`error_to_wire` returned there.
        machine: the machine, for the message.
        backend: name of the backend.

    Returns:
        An error of the same class. What was only right there is said of the machine.
    """
    message = str(said["message"])
    kind = _KINDS.get(str(said["kind"]))
    if kind is RefusedError:
        return RefusedError(message.replace("this machine", machine), backend=backend, fields=tuple(said["fields"]))
    if kind is BusyError:
        return BusyError(message, float(said["retry_after_s"] or 1.0))
    if kind is MissingExtraError:
        return ConfigError(f"on {machine}: {message}")
    if kind is not None and kind is not OutputError:
        return kind(f"on {machine}: {message}")
    return ModelError(f"on {machine}: {message}")


def request_to_wire(request: Request) -> dict[str, Any]:
    """Describe a request.

    Args:
        request: the request.

    Returns:
        Plain JSON values.
    """
    output = None if request.output is None else request.output.model_dump(mode="json")
    tools = None if request.tools is None else list(request.tools)
    return {"messages": list(request.messages), "tools": tools, "output": output}


def request_from_wire(said: dict[str, Any]) -> Request:
    """Return a request of the other side.

    Args:
        said: what :func:`request_to_wire` returned there.

    Returns:
        The request.
    """
    output = None if said["output"] is None else _OUTPUT.validate_python(said["output"])
    return Request(said["messages"], said["tools"], output)


def answer_from_wire(said: dict[str, Any]) -> Answer:
    """Return an answer of the other side.

    Args:
        said: the answer's fields.

    Returns:
        The answer.
    """
    return Answer(**said)


def answer_to_wire(answer: Answer) -> dict[str, Any]:
    """Describe an answer.

    Args:
        answer: the answer.

    Returns:
        Plain JSON values.
    """
    return asdict(answer)
