"""Supervised fine-tuning where rows share a long system prompt: ftkit beside TRL's SFTTrainer.

    python benchmarks/sft_shared_prefix.py [--rows 40] [--repeat 3] [--precision fp32] [--adapter lora]

Clinic notes with the instructions that a team would write in earnest; about two thirds of each row's tokens are those
instructions and the schema. TRL computes them anew for each row, whatever its settings.
"""

from __future__ import annotations

import json
from pathlib import Path

from contest import Contender, Contest, chosen_threads, compete, options, show
from pydantic import BaseModel

import ftkit as ft

NOTES = Path(__file__).parent.parent / "examples" / "visits" / "visits.jsonl"

INSTRUCTIONS = """\
You read clinic notes and write one record for each. Give the patient's full name in the usual order, given name first, \
without titles such as Mr, Mrs, Dr or Sister; keep accents and hyphens as they are written. Give the age in completed \
years as a number; where the note says something like "forty years minus one", work it out. Under diagnosis put the one \
condition that this visit was about, in the note's own words but without adjectives of severity; a suspected condition \
counts when the note settles on it, and a history of something else does not. Under medication list every drug that was \
started, changed or continued at this visit, generic or brand name as written, separated by commas, without doses, routes \
or times; drugs that were stopped, refused or only advised against are left out, and so are dressings, exercises and \
physiotherapy. If there is none, write null. Under follow_up_days give the number of days until the next planned contact: \
weeks count seven days, months thirty, "6/52" is six weeks and "10/7" is ten days; of a range take the lower end; if \
nothing is planned, or only "if it gets worse", write null. Never guess what the note does not say, never add a field, \
never explain, and answer with the record and nothing else."""

CONTENDERS = (
    Contender("ftkit", "ftkit"),
    Contender("ftkit, 1,024 tokens a pass", "ftkit", {"max_batch_tokens": 1024}),
    Contender("TRL, 8 rows a pass", "trl"),
    Contender("TRL, 8 rows, checkpointing", "trl", {"gradient_checkpointing": True}),
    Contender(
        "TRL, 1 row a pass", "trl", {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    ),
    Contender("TRL, padding-free", "trl", {"padding_free": True}),
)


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


def main() -> None:
    parser = options(__doc__, rows=40)
    chosen = parser.parse_args()
    chosen_threads(chosen)
    with NOTES.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][: chosen.rows]
    contest = Contest(
        task=ft.Task(INSTRUCTIONS, input="{note}", output=Visit),
        rows=[{"note": row["note"], "record": row["record"]} for row in rows],
        columns={"target": "record"},
        recipe=ft.SFT(
            epochs=1, batch_size=8, learning_rate=5e-4, lr_scheduler_type="constant", warmup_ratio=0.0,
            precision=chosen.precision, adapter={"kind": chosen.adapter, "rank": 16, "lora_alpha": 32.0},
        ),
        contenders=CONTENDERS,
    )  # fmt: skip
    show(contest, compete(contest, repeat=chosen.repeat))


if __name__ == "__main__":
    main()
