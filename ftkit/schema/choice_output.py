"""Answers that are one of a few words."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Literal

from pydantic import field_validator

from ftkit.errors import ConfigError, OutputError
from ftkit.schema.output import Output

__all__ = ["ChoiceOutput"]


class ChoiceOutput(Output):
    """Exactly one of ``choices``, as bare text: ``urgent``, not ``"urgent"`` and not ``Urgent.``.

    Attributes:
        choices: the labels, two at least, in the order in which the prompt names them.
    """

    kind: Literal["choice"] = "choice"
    choices: tuple[str, ...]

    @field_validator("choices")
    @classmethod
    def _tell_apart(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if len(choices) < 2:
            raise ConfigError(f"needs at least two choices, got {len(choices)}")
        for choice in choices:
            if not choice.strip():
                raise ConfigError("a choice is blank; give it a name such as 'none'")
            if choice != choice.strip():
                raise ConfigError(f"{choice!r} has whitespace around it, which answers are read without")
            if choices.count(choice) > 1:
                raise ConfigError(f"{choice!r} is there twice")
        return choices

    def describe(self) -> str:
        """``Answer with exactly one of: a, b, c``; one a line when a choice holds a comma or a line break."""
        if any("," in choice or "\n" in choice for choice in self.choices):
            return "Answer with exactly one of:\n" + "\n".join(f"- {choice}" for choice in self.choices)
        return "Answer with exactly one of: " + ", ".join(self.choices)

    def format(self, value: Any) -> str:
        """The choice as text. Takes a string, or a member of an enum of strings.

        Raises:
            OutputError: ``wrong_type`` when it is not a string, ``invalid_value`` when it is none of the choices.
        """
        if isinstance(value, Enum):
            value = value.value
        if not isinstance(value, str):
            named = ", ".join(self.choices)
            raise OutputError(
                f"expected one of {named}, got {type(value).__name__} {value!r:.60}", problem="wrong_type"
            )
        return self.parse(value)

    def problems(self, text: str) -> list[OutputError]:
        """One ``invalid_value`` unless the text, without the whitespace around it, is one of the choices."""
        answer = text.strip()
        if answer in self.choices:
            return []
        what = f"{answer!r:.80} is not one of the choices" if answer else "the answer is empty; the choices are"
        near = next((choice for choice in self.choices if answer.lower() == choice.lower()), None)
        hint = f" (the choice is written {near!r})" if near else ""
        named = ", ".join(self.choices)
        allowed = tuple(json.dumps(choice, ensure_ascii=False) for choice in self.choices)
        return [OutputError(f"{what}: {named}{hint}", problem="invalid_value", text=text, allowed=allowed)]

    def parse(self, text: str) -> str:
        """The choice.

        Raises:
            OutputError: ``invalid_value``, listing the choices.
        """
        for problem in self.problems(text):
            raise problem
        return text.strip()
