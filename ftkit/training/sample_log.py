"""The completions with the highest and the lowest reward of each step, logged so that a person can read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ftkit.files import write_atomically

__all__ = ["SAMPLES", "SampleLog", "SampleRecord"]

SAMPLES = "samples.jsonl"
"""Name of the file in a run's folder."""


class SampleRecord(BaseModel):
    """One completion with its reward."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    step: int
    which: str
    """``"best"`` or ``"worst"`` of its step."""
    row: str
    """Id of the row with the prompt."""
    prompt: str
    """The last message of the prompt."""
    answer: str
    reward: float
    parts: dict[str, float]
    """The reward of each part of the grader."""
    error: str | None
    """Why it could not be graded, if so."""
    tokens: int
    truncated: bool


class SampleLog:
    """The logged completions of a run, one per line of a file.

    Args:
        file: where they are; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, samples: Iterable[SampleRecord]) -> None:
        """Append completions.

        Args:
            samples: of one step.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.writelines(sample.model_dump_json() + "\n" for sample in samples)

    def read(self) -> list[SampleRecord]:
        """Read all completions; a line that a crash has cut off is left out.

        Returns:
            The completions in the order of the steps.
        """
        records: list[SampleRecord] = []
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                records.append(SampleRecord.model_validate(json.loads(line)))
            except (ValueError, ValidationError):
                continue
        return records

    def truncate_after(self, step: int) -> None:
        """Remove the completions of later steps, which a resumed run samples again.

        Args:
            step: the last step to keep.
        """
        before = self.read()
        kept = [record for record in before if record.step <= step]
        if len(kept) < len(before):
            write_atomically(self.file, "".join(record.model_dump_json() + "\n" for record in kept))
