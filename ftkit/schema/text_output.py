"""Answers that are plain text."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import override

from ftkit.errors import OutputError
from ftkit.schema.output import Output

__all__ = ["TextOutput"]


class TextOutput(Output):
    """Any text that is not blank.

    Targets and answers keep the whitespace around them, which may be content, such as the indentation of code.
    Metrics compare texts without it.
    """

    kind: Literal["text"] = "text"

    @override
    def describe(self) -> str:
        return ""

    @override
    def format(self, value: Any) -> str:
        if not isinstance(value, str):
            raise OutputError(f"expected text, got {type(value).__name__} {value!r:.60}", problem="wrong_type")
        for problem in self.problems(value):
            raise problem
        return value

    @override
    def problems(self, text: str) -> list[OutputError]:
        if text.strip():
            return []
        return [OutputError("the answer is empty", problem="invalid_value", text=text)]

    @override
    def parse(self, text: str) -> str:
        for problem in self.problems(text):
            raise problem
        return text
