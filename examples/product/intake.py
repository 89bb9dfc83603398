"""A tuned model inside a product: notes in on standard input, typed records out, bad answers set aside.

    cat notes.txt | python examples/product/intake.py --model local:<id of a run>

The model knows the task it was tuned for, so the product has no prompt and no schema of its own that could drift away
from the training data. ``bind`` gives the answers their Python class.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from pydantic import BaseModel

import ftkit as ft


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


class Intake:
    """Turns notes into visits, and keeps what could not be read for a person to look at."""

    def __init__(self, model: str) -> None:
        known = ft.Model(model)
        self.model = ft.Model(model, known.task.bind(Visit), sampling=ft.Sampling(max_output_tokens=96))
        self.for_a_person: list[tuple[str, str]] = []

    async def read(self, notes: Sequence[str]) -> list[Visit]:
        """The visits of those notes that could be read."""
        visits = []
        answers = await self.model.apredict_many([{"note": note} for note in notes], on_error="return")
        for note, answer in zip(notes, answers, strict=True):
            if isinstance(answer, ft.OutputError):
                self.for_a_person.append((note, str(answer)))
            else:
                visits.append(answer)
        return visits


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", required=True, help='as "backend:model", e.g. local:<id of a run>')
    notes = [note.strip() for note in sys.stdin.read().split("\n\n") if note.strip()]
    intake = Intake(options.parse_args().model)
    for visit in asyncio.run(intake.read(notes)):
        due = "no follow-up" if visit.follow_up_days is None else f"back in {visit.follow_up_days} days"
        print(f"{visit.patient_name}, {visit.age}: {visit.diagnosis}; {visit.medication or 'no medication'}; {due}")
    for note, why in intake.for_a_person:
        print(f"to be read by a person ({why}): {note[:60]}", file=sys.stderr)


if __name__ == "__main__":
    main()
