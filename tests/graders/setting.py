"""Models that say what is written down, for graders that ask one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ftkit.backends import Answer
from ftkit.graders import GraderContext
from ftkit.task import Message


def said(text: str, error: str | None = None) -> Answer:
    return Answer(text, "error" if error else "stop", 1, 1, 0.0, error=error)


@dataclass
class Scripted:
    """Answers every question with the next of ``answers``, and keeps what it was asked."""

    answers: Sequence[str | Answer]
    asked: list[Sequence[Message]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, model: str, prompts: Sequence[Sequence[Message]], **drawn: Any) -> list[Answer]:
        self.calls.append({"model": model, **drawn})
        start = len(self.asked)
        self.asked += prompts
        found = self.answers[start : start + len(prompts)]
        return [said(one) if isinstance(one, str) else one for one in found]

    @property
    def setting(self) -> GraderContext:
        return GraderContext(ask=self)
