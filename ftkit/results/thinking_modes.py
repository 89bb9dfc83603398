"""How a reasoning model answers in its two modes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ftkit.counts import counted, verb

__all__ = ["ThinkingChange", "ThinkingModes"]

_LIMIT = 0.5
"""A mode counts as broken if it is followed in less than this share of the answers, and the base follows it in more."""


class ThinkingModes(BaseModel):
    """Answers that begin with a thought, by the mode in which they were asked."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    asked: int
    """Questions, each asked in both modes."""
    thought_when_on: int
    """Answers with a thought in thinking mode."""
    thought_when_off: int
    """Answers with a thought in the other mode."""

    def __str__(self) -> str:
        return (
            f"{self.thought_when_on} of {counted(self.asked, 'answer')} "
            f"{verb(self.thought_when_on, 'begins', 'begin')} with a thought in thinking mode, "
            f"{self.thought_when_off} of {self.asked} without it"
        )


class ThinkingChange(BaseModel):
    """The modes of a tuned model beside those of its base."""

    model_config = ConfigDict(frozen=True)

    before: ThinkingModes
    after: ThinkingModes

    @property
    def broken(self) -> tuple[str, ...]:
        """What the tuned model no longer does though its base does, as parts of a sentence."""
        first, second, found = self.before, self.after, []
        if second.thought_when_on < _LIMIT * second.asked < first.thought_when_on:
            found.append(
                f"it thinks in {second.thought_when_on} of {counted(second.asked, 'answer')} in thinking mode "
                f"({first.thought_when_on} before)"
            )
        direct = [modes.asked - modes.thought_when_off for modes in (first, second)]
        if direct[1] < _LIMIT * second.asked < direct[0]:
            found.append(
                f"it thinks in {second.thought_when_off} of {counted(second.asked, 'answer')} though it is asked not "
                f"to ({first.thought_when_off} before)"
            )
        return tuple(found)

    def __str__(self) -> str:
        return f"{self.after}; the base: {self.before}"
