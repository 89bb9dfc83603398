"""Answers that are plain text."""

from __future__ import annotations

from typing import Any, Literal

from ftkit.errors import OutputError
from ftkit.schema.output import Output

__all__ = ["TextOutput"]


class TextOutput(Output):
    """Any text that is not blank. Whitespace around it is taken off, the rest is left as it is."""

    kind: Literal["text"] = "text"

    def describe(self) -> str:
        """Empty: the instructions say it all."""
        return ""

    def format(self, value: Any) -> str:
        """``value`` without the whitespace around it.

        Raises:
            OutputError: ``wrong_type`` when it is not a string, ``invalid_value`` when it is blank.
        """
        if not isinstance(value, str):
            raise OutputError(f"expected text, got {type(value).__name__} {value!r:.60}", problem="wrong_type")
        return self.parse(value)

    def problems(self, text: str) -> list[OutputError]:
        """One ``invalid_value`` when the text is blank."""
        if text.strip():
            return []
        return [OutputError("the answer is empty", problem="invalid_value", text=text)]

    def parse(self, text: str) -> str:
        """The text without the whitespace around it.

        Raises:
            OutputError: ``invalid_value`` when nothing is left.
        """
        for problem in self.problems(text):
            raise problem
        return text.strip()
