"""The error of an engine that runs in another program. This module imports nothing heavy."""

from __future__ import annotations

from ftkit.errors import ModelError

__all__ = ["EngineError"]


class EngineError(ModelError):
    """The program that runs a model failed, or refused what it was asked.

    The message is for whoever runs the program: it may hold addresses, paths and lines of a log.

    Args:
        message: what is wrong and what to do about it.
        outward: what clients of a server may read of it.
        refused: whether the program refused the request itself, so that asking again changes nothing.

    Attributes:
        outward: the same.
        refused: the same.
    """

    def __init__(self, message: str, outward: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.outward, self.refused = outward, refused

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it, as other processes raise it."""
        return _made, (str(self), self.outward, self.refused)


def _made(message: str, outward: str, refused: bool) -> EngineError:
    return EngineError(message, outward, refused=refused)
