"""Answers that are one of a few labels."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Literal

from pydantic import field_validator
from typing_extensions import override

from ftkit.error_text import name_list
from ftkit.errors import ConfigError, OutputError
from ftkit.schema.output import Output

__all__ = ["ChoiceOutput"]


class ChoiceOutput(Output):
    """Exactly one of ``choices``, as bare text: ``urgent``, not ``"urgent"`` and not ``Urgent.``.

    Attributes:
        choices: two or more labels, in the order in which the prompt names them.
    """

    kind: Literal["choice"] = "choice"
    choices: tuple[str, ...]

    @field_validator("choices")
    @classmethod
    def _check_choices(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if len(choices) < 2:
            raise ConfigError(f"needs at least two choices, got {len(choices)}")
        for choice in choices:
            if not choice.strip():
                raise ConfigError("a choice is blank; give it a name such as 'none'")
            if choice != choice.strip():
                raise ConfigError(f"{choice!r} has whitespace around it, which is removed from answers")
            if choices.count(choice) > 1:
                raise ConfigError(f"{choice!r} is listed twice")
        return choices

    @override
    def describe(self) -> str:
        if any("," in choice or "\n" in choice for choice in self.choices):
            return "Answer with exactly one of:\n" + "\n".join(f"- {choice}" for choice in self.choices)
        return "Answer with exactly one of: " + ", ".join(self.choices)

    @override
    def format(self, value: Any) -> str:
        # A string, or a member of an enum of strings.
        if isinstance(value, Enum):
            value = value.value
        if not isinstance(value, str):
            listed = name_list(self.choices)
            raise OutputError(
                f"expected one of {listed}, got {type(value).__name__} {value!r:.60}", problem="wrong_type"
            )
        return self.parse(value)

    @override
    def problems(self, text: str) -> list[OutputError]:
        answer = text.strip()
        if answer in self.choices:
            return []
        problem = f"{answer!r:.80} is not one of the choices" if answer else "the answer is empty; the choices are"
        similar = next((choice for choice in self.choices if answer.lower() == choice.lower()), None)
        hint = f" (the choice is written {similar!r})" if similar else ""
        listed = name_list(self.choices)
        allowed = tuple(json.dumps(choice, ensure_ascii=False) for choice in self.choices)
        return [OutputError(f"{problem}: {listed}{hint}", problem="invalid_value", text=text, allowed=allowed)]

    @override
    def parse(self, text: str) -> str:
        for problem in self.problems(text):
            raise problem
        return text.strip()
