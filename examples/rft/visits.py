"""Reinforcement after a few demonstrations: 20 notes show the form of a record, a grader of fields teaches the rest.

    python examples/rft/visits.py
    python examples/rft/visits.py --backend local:/path/to/another/model

The same notes as demonstrations, with no grader, are measured beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import BaseModel

import ftkit as ft

HERE = Path(__file__).parent


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


GRADER = ft.SchemaGrader(name="record", json_schema=Visit, reference="{{item.record}}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--shown", type=int, default=20, help="notes whose records are shown")
    options.add_argument("--rows", type=int, default=42, help="notes to be reinforced on; three a step")
    chosen = options.parse_args()

    task = ft.Task("Extract the visit record from the clinic note.", input="{note}", output=Visit)
    data = ft.Dataset.load(HERE.parent / "visits" / "visits.jsonl", task, target="record")
    train, test = data.split(test=0.2, group_by="patient_id", seed=7)
    shown, rest = train[: chosen.shown], train[chosen.shown :][: chosen.rows]

    demonstrations = ft.SFT(epochs=2, batch_size=8, learning_rate=2e-3)
    few = ft.train(demonstrations, shown, backend=chosen.backend).wait()
    recipe = ft.RFT(
        grader=GRADER, epochs=1, batch_size=3, num_generations=6, max_output_tokens=64, learning_rate=5e-4,
        lr_scheduler_type="constant", adapter=few.recipe.adapter, eval_steps=10, probe_prompts=4,
    )  # fmt: skip
    reinforced = ft.train(recipe, rest, backend=f"local:{few.id}", validation=test[:16])
    print(f"run {reinforced.id}: `ftkit runs samples {reinforced.id}` shows what is rewarded")
    reinforced.wait()
    # Or: somebody writes the records of the other notes too.
    all_shown = ft.train(demonstrations, train[: chosen.shown + chosen.rows], backend=chosen.backend).wait()

    held_out = test[16:]  # the others chose the best checkpoint
    before = judged(few, "SFT", held_out)
    print(ft.compare(before, judged(reinforced, "SFT, then RFT", held_out)))
    print(ft.compare(before, judged(all_shown, "SFT on all", held_out)))


def judged(run: ft.Run, label: str, data: ft.Dataset) -> ft.Report:
    """What the grader makes of a run's records, and what the run forgot."""
    model = ft.Model(run.model.name, sampling=ft.Sampling(max_output_tokens=64))
    return ft.evaluate(model, data, metrics=[GRADER], label=label, probes=ft.Probes(general=32))


if __name__ == "__main__":
    main()
