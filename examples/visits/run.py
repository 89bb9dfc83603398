"""The whole story on clinic notes: declare once, look at the data, train, and compare base and tuned model.

    python examples/visits/run.py
    python examples/visits/run.py --backend local:/path/to/another/model
    python examples/visits/run.py --adapter dora
    python examples/visits/run.py --no-preserve

Everything that could differ between machines and models is one argument.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import BaseModel

import ftkit as ft

HERE = Path(__file__).parent
EMBEDDED = "local:smollm2-135m"
# The upper 20 of the 30 layers learn the records as well as all, forget less, and take a sixth less time.
UPPER_LAYERS = range(10, 30)


class Visit(BaseModel):
    """What a clinic note says."""

    patient_name: str
    age: int
    diagnosis: str
    medication: str | None
    follow_up_days: int | None


def adapter_for(backend: str, kind: str) -> ft.Adapter:
    """The adapter of a kind, on the layers that were found best for the embedded model, on all of another one."""
    if kind == "full":
        return ft.Full()
    layers = UPPER_LAYERS if backend == EMBEDDED else None
    if kind == "adalora":
        return ft.AdaLoRA(layers_to_transform=layers)
    made = {"lora": ft.LoRA, "qlora": ft.QLoRA, "dora": ft.DoRA}[kind]
    return made(layers_to_transform=layers)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default=EMBEDDED, help='where and what, as "name:model"')
    options.add_argument("--adapter", default="lora", choices=["adalora", "dora", "full", "lora", "qlora"])
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--no-preserve", action="store_true", help="let the model forget; hosts cannot prevent it")
    options.add_argument("--out", type=Path, default=Path("demo-output"))
    chosen = options.parse_args()

    task = ft.Task("Extract the visit record from the clinic note.", input="{note}", output=Visit)
    data = ft.Dataset.load(HERE / "visits.jsonl", task, target="record")
    if problems := data.check():
        raise SystemExit("\n".join(str(problem) for problem in problems))
    # A patient's notes never stand on both sides, or the test would be easier than real life.
    train, test = data.split(test=0.2, group_by="patient_id", seed=7)
    print(f"{len(train)} training notes, {len(test)} test notes; no patient is in both")

    # A high rate and small batches: a few hundred rows make few steps to learn in.
    # All weights together bear only a small rate; "auto" knows it.
    rate = "auto" if chosen.adapter == "full" else 2e-3
    # A model that learns only records answers everything with one. Rehearsing general prompts takes a fifth of a step.
    # Harm is measured on 16 prompts at every evaluation, and only a model within the budget can be the result.
    preserve = None if chosen.no_preserve else ft.Preserve(max_rows=128, held_out=16, max_output_tokens=24, kl=1.0)
    recipe = ft.SFT(
        epochs=chosen.epochs,
        batch_size=4,
        learning_rate=rate,
        adapter=adapter_for(chosen.backend, chosen.adapter),
        preserve=preserve,
    )
    run = ft.train(recipe, train, backend=chosen.backend)
    print(f"run {run.id}: training continues if this script is stopped; reattach with `ftkit runs wait {run.id}`")
    run.wait()
    first, last = run.metrics[0], run.metrics[-1]
    print(f"trained: loss {first['loss']:.3f} at step 1, {last['loss']:.3f} at step {last['step']}")

    sampling = ft.Sampling(max_output_tokens=72)
    base = ft.Model(chosen.backend, task)
    # What tuning may have broken is asked, too; on two slow cores less of it than would be asked without a word.
    before = ft.evaluate(base, test, sampling=sampling, label="base", probes=ft.Probes(general=60))
    harm = ft.Probes(general=60, train=train, train_rows=40, base=base, base_rows=8)
    after = ft.evaluate(run.model, test, sampling=sampling, label="tuned", probes=harm)
    comparison = ft.compare(before, after)
    print(comparison)

    chosen.out.mkdir(parents=True, exist_ok=True)
    before.save(chosen.out / "base.json")
    after.save(chosen.out / "tuned.json")
    comparison.save(chosen.out / "comparison.html")
    print(f"report with every note: {(chosen.out / 'comparison.html').resolve()}")

    note = test[0].columns["note"]
    try:
        print(f"\n{note}\n-> {run.model.predict(note=note)!r}")
    except ft.OutputError as error:  # the model's answer was no valid record, as the report counts it
        print(f"\n{note}\n-> {error}")


if __name__ == "__main__":
    main()
