"""The best and the worst answer of each step, kept so that a person can see what is rewarded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ftkit.files import write_atomically

__all__ = ["SAMPLES", "KeptSample", "KeptSamples"]

SAMPLES = "samples.jsonl"
"""Name of the file in a run's folder."""


class KeptSample(BaseModel):
    """One answer, and what it was worth."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    step: int
    which: str
    """``"best"`` or ``"worst"`` of its step."""
    row: str
    """Id of the row that was asked."""
    prompt: str
    """The last message of the conversation that was asked."""
    answer: str
    reward: float
    parts: dict[str, float]
    """What each part of the grader gave."""
    error: str | None
    """Why it could not be graded, if so."""
    tokens: int
    truncated: bool


class KeptSamples:
    """The samples of a run, one a line of a file.

    Args:
        file: where they are; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, samples: Iterable[KeptSample]) -> None:
        """Write some more."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.writelines(one.model_dump_json() + "\n" for one in samples)

    def read(self) -> list[KeptSample]:
        """All of them, in the order of the steps; a line that a crash has torn is left out."""
        found: list[KeptSample] = []
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                found.append(KeptSample.model_validate(json.loads(line)))
            except (ValueError, ValidationError):
                continue
        return found

    def forget_after(self, step: int) -> None:
        """Drop those of later steps, which a run that goes on from ``step`` makes again."""
        before = self.read()
        kept = [one for one in before if one.step <= step]
        if len(kept) < len(before):
            write_atomically(self.file, "".join(one.model_dump_json() + "\n" for one in kept))
