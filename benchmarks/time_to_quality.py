"""Seconds of training until a model is good enough: ftkit beside TRL, with three seeds.

    python benchmarks/time_to_quality.py [--score 0.6] [--seeds 0 1 2] [--every 6] [--epochs 3] [--unsloth PYTHON]
        [--out runs.jsonl]

The task is ``examples/triage``: messages to a support desk, one of six labels. All sides train the same adapter on the
same batches at the same learning rate. Every few steps the model is scored on 65 messages that no side trains on, by
ftkit's engine: ftkit's models during its run, TRL's from the checkpoints that it saved. The clock counts the steps
alone, not the scoring and saving. A side that computes padding, or a shared prompt anew for every row, needs more
seconds for the same model; settings of the batch cannot hide it, because only the score ends the count.

With ``--out`` each run is a line of a file when it is done, and the same command goes on where it was stopped. Two
commands with different seeds and files may run side by side, each on a core of its own.

``--unsloth`` names the Python of an environment with ``unsloth==2026.10.9``, ``transformers<=5.17`` and
``trl<=1.15``, which is not ftkit's. Uninstall ``torchvision`` there: Unsloth refuses its build for GPUs beside a torch
for CPUs. ``not reached`` says that no scored model of the run was good enough.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from contest import Contender, Contest, about, chosen_threads, options, prepare, run

import ftkit as ft

MESSAGES = Path(__file__).parent.parent / "examples" / "triage" / "messages.jsonl"
BATCH = 8
Queue = Literal["billing", "bug", "how_to", "cancellation", "lost_property", "praise"]
ONE_ROW = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": BATCH}


def contenders(every: int, unsloth: str | None) -> tuple[Contender, ...]:
    """The sides: TRL with its best setting on a CPU, one row a pass, also compiled, and with its default; Unsloth."""
    saved = {"save_strategy": "steps", "save_steps": every}
    others = [Contender("Unsloth, 1 row a pass", "unsloth", {**ONE_ROW, **saved}, python=unsloth)] if unsloth else []
    return (
        Contender("ftkit", "ftkit"),
        Contender("TRL, 1 row a pass", "trl", {**ONE_ROW, **saved}),
        Contender(f"TRL, {BATCH} rows a pass", "trl", saved),
        Contender("TRL, 1 row a pass, torch_compile", "trl", {**ONE_ROW, **saved, "torch_compile": True}),
        *others,
    )


def contest(chosen: Any, seed: int) -> Contest:
    """The task with the seed's batches and first weights."""
    task = ft.Task("Sort the customer's message into one queue.", input="{message}", output=Queue)
    data = ft.Dataset.load(MESSAGES, task, target="label", id="id")
    train, test = data.split(test=0.25, stratify_by="label", seed=3)
    rows, held_out = (
        [{name: row.columns[name] for name in ("message", "label")} for row in part] for part in (train, test)
    )
    rows = rows[: min(chosen.rows, len(rows)) // BATCH * BATCH]  # whole batches, which TRL forms without epochs
    recipe = ft.SFT(
        epochs=chosen.epochs,
        batch_size=BATCH,
        learning_rate=chosen.learning_rate,
        lr_scheduler_type="constant",
        warmup_ratio=0.0,
        precision=chosen.precision,
        adapter={"kind": chosen.adapter, "rank": 16, "lora_alpha": 32.0},
        seed=seed,
        eval_metric="accuracy",
        eval_steps=chosen.every,
        eval_max_output_tokens=8,
    )
    return Contest(task, rows, {"target": "label"}, recipe, contenders(chosen.every, chosen.unsloth), held_out)


def scores_of_checkpoints(folder: Path, stated: Contest) -> list[tuple[int, float]]:
    """Steps of saved adapters, with the accuracy of each."""
    data = ft.Dataset.from_rows(stated.validation, stated.task, **stated.columns)
    found = []
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=step_of):
        with ft.Model(f"local:{checkpoint}", stated.task) as model:
            sampling = ft.Sampling(max_output_tokens=8)
            report = ft.evaluate(model, data, sampling=sampling, probes=None, progress=False)
        found.append((step_of(checkpoint), report["accuracy"].value))
    return found


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def seconds_until(wanted: float, figures: Mapping[str, Any]) -> tuple[float, float] | None:
    """Seconds of the steps up to the first model that is good enough, by the wall and of processor time."""
    reached = next((step for step, score in figures["scores"] if step and score >= wanted), None)
    if reached is None:
        return None
    wall, processor = zip(*figures["steps"][:reached], strict=True)
    return sum(wall), sum(processor)


def main() -> None:
    parser = options(__doc__, rows=192, repeat=1)
    parser.add_argument("--score", type=float, default=0.6, help="accuracy that is good enough")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--every", type=int, default=6, help="steps between scored models")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--unsloth", help="the Python of an environment with Unsloth; without it Unsloth is left out")
    parser.add_argument("--out", type=Path, help="JSON Lines file of finished runs, which are not run again")
    chosen = parser.parse_args()
    chosen_threads(chosen)
    done = read_done(chosen.out)
    for seed in chosen.seeds:
        stated = contest(chosen, seed)
        if all((seed, one.name) in done for one in stated.contenders):
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            counts = prepare(stated, folder)
            print(about(stated, counts, 1), flush=True)
            for contender in stated.contenders:
                if (seed, contender.name) in done:
                    continue
                shutil.rmtree(folder / "trl", ignore_errors=True)  # checkpoints of the side before
                figures = run(contender, folder)
                if "failed" in figures:
                    print(f"  {contender.name}: failed: {figures['failed'][:150]}", file=sys.stderr, flush=True)
                    continue
                if contender.side != "ftkit":
                    figures["scores"] = scores_of_checkpoints(folder / "trl", stated)
                done[seed, contender.name] = line = {
                    "seed": seed, "side": contender.name, "scores": figures["scores"], "steps": figures["steps"]
                }  # fmt: skip
                if chosen.out is not None:
                    with chosen.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
                curve = ", ".join(f"{step}: {score:.2f}" for step, score in figures["scores"])
                print(f"  seed {seed}, {contender.name}: {curve}", file=sys.stderr, flush=True)
    names = [one.name for one in contenders(chosen.every, chosen.unsloth)]
    show(names, chosen.seeds, done, chosen.score)


def read_done(file: Path | None) -> dict[tuple[int, str], Mapping[str, Any]]:
    """Finished runs by seed and side."""
    if file is None or not file.is_file():
        return {}
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {(line["seed"], line["side"]): line for line in lines}


def show(names: list[str], seeds: list[int], done: Mapping[tuple[int, str], Mapping[str, Any]], wanted: float) -> None:
    """Print seconds by seed, and how many times as long each side takes as the first one with the same seed."""
    reached = {run: seconds_until(wanted, figures) for run, figures in done.items()}
    width = max(map(len, names)) + 2
    for at, clock in enumerate(("by the wall", "of processor time")):
        print(f"seconds {clock} until an accuracy of {wanted:g}, by seed")
        for name in names:
            cells = []
            for seed in seeds:
                pair, first = reached.get((seed, name)), reached.get((seed, names[0]))
                ratio = f" {pair[at] / first[at]:.1f}x" if pair and first else ""
                missing = "not reached" if (seed, name) in done else "failed"
                cells.append(f"{f'{pair[at]:.1f}{ratio}' if pair else missing:>15}")
            print(f"{name:{width}}{''.join(cells)}")


if __name__ == "__main__":
    main()
