"""Reinforcement after a few demonstrations: 20 notes show the form of a record, a grader of fields teaches the rest.

python examples/rft/visits.py
python examples/rft/visits.py --backend local:/path/to/another/model
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

    first = ft.train(ft.SFT(epochs=2, batch_size=8, learning_rate=2e-3), shown, backend=chosen.backend).wait()
    recipe = ft.RFT(
        grader=GRADER, epochs=1, batch_size=3, num_generations=6, max_output_tokens=64, learning_rate=5e-4,
        lr_scheduler_type="constant", adapter=first.recipe.adapter, eval_steps=10, probe_prompts=4,
    )  # fmt: skip
    run = ft.train(recipe, rest, backend=f"local:{first.id}", validation=test[:16])
    print(f"run {run.id}: `ftkit runs samples {run.id}` shows what is rewarded")
    run.wait()

    sampling = ft.Sampling(max_output_tokens=64)
    held_out = test[16:]  # the others chose the best checkpoint
    before = ft.evaluate(
        ft.Model(first.model.name, sampling=sampling),
        held_out,
        metrics=[GRADER],
        label="SFT",
        probes=ft.Probes(general=32),
    )
    after = ft.evaluate(
        ft.Model(run.model.name, sampling=sampling),
        held_out,
        metrics=[GRADER],
        label="SFT, then RFT",
        probes=ft.Probes(general=32),
    )
    print(ft.compare(before, after))


if __name__ == "__main__":
    main()
