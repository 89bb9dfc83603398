"""Text of error messages in which the names of Python arguments are marked.

An error says ``target=`` to a caller of the Python API and ``--target`` on the command line. The code that raises it
marks the argument, and ``str(error)`` is the text for Python::

    raise ConfigError(ErrorText("name the column of answers with ", Argument("target")))

The command line formats the marks as options (``ftkit.cli.option_names``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Self

from typing_extensions import override

__all__ = ["Argument", "ErrorText", "error_text", "name_list"]

_SHOWN_NAMES = 20
_SHOWN_CHARACTERS = 60


class Argument(str):
    """A Python argument inside an :class:`ErrorText`. As a string it is Python code."""

    __slots__ = ("name", "value")

    name: str
    value: str

    def __new__(cls, name: str, value: str = "", *, text: str | None = None) -> Self:
        """Mark an argument.

        Args:
            name: name of the argument.
            value: the value to pass, without quotation marks, e.g. ``"table"``.
            text: the Python code; by default ``name="value"``, and ``name=`` without a value. Give it for a value that
                is no string (``text="overwrite=True"``), or for the name alone (``text="max_kl"``).

        Returns:
            The argument.
        """
        quoted = f'"{value}"' if value else ""
        argument = super().__new__(cls, f"{name}={quoted}" if text is None else text)
        argument.name, argument.value = name, value
        return argument

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (_argument, (self.name, self.value, str(self)))


def _argument(name: str, value: str, text: str) -> Argument:
    return Argument(name, value, text=text)


class ErrorText(str):
    """A message that remembers which of its parts are arguments. As a string it is the message for Python.

    An f-string or ``+`` makes a plain string of it, so add text as further parts.
    """

    __slots__ = ("parts",)

    parts: tuple[str, ...]

    def __new__(cls, *parts: str) -> Self:
        """Join the parts of a message.

        Args:
            *parts: plain strings, arguments and other texts, in order.

        Returns:
            The message.
        """
        text = super().__new__(cls, "".join(parts))
        text.parts = tuple(
            piece for part in parts for piece in (part.parts if isinstance(part, ErrorText) else (part,))
        )
        return text

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.parts)

    def format_arguments(self, formatter: Callable[[Argument], str]) -> str:
        """Return the message with its arguments written in another way.

        Args:
            formatter: what to write for an argument.

        Returns:
            The message.
        """
        return "".join(formatter(part) if isinstance(part, Argument) else part for part in self.parts)


def error_text(error: BaseException) -> str:
    """Return an error's message, to be made part of another :class:`ErrorText` without loss of the marks.

    Args:
        error: the error.

    Returns:
        The :class:`ErrorText` that the error was raised with; ``str(error)`` of any other error.
    """
    message = error.args[0] if error.args else None
    return message if isinstance(message, ErrorText) else str(error)


def name_list(names: Iterable[object], none: str = "none") -> str:
    """List names of a file or of a user in a message, which stays short however many or long they are.

    Args:
        names: the names, in their order.
        none: what stands there without names.

    Returns:
        For example ``"prompt, completion and 3 more"``; the first twenty are named, with 60 characters each.
    """
    names = iter(names)
    shown = [f"{name!s:.{_SHOWN_CHARACTERS}}" for name in islice(names, _SHOWN_NAMES)]
    more = sum(1 for _ in names)
    return f"{', '.join(shown)} and {more:,} more" if more else ", ".join(shown) or none
