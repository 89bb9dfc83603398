"""Reinforcement alone: a base model learns a form that no example shows it, from graders that only check.

python examples/rft/form.py
python examples/rft/form.py --backend local:/path/to/another/model
"""

from __future__ import annotations

import argparse
from pathlib import Path

import graders

import ftkit as ft

HERE = Path(__file__).parent
GRADER = ft.MultiGrader(
    name="form",
    graders={
        "one_line": ft.FunctionGrader(function=graders.one_line),
        "length": ft.FunctionGrader(function=graders.length),
        "full_stop": ft.FunctionGrader(function=graders.full_stop),
        "grounded": ft.FunctionGrader(function=graders.grounded),
    },
    calculate_output="(one_line + length + full_stop + grounded) / 4",
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--rows", type=int, default=80, help="messages to learn from; four a step")
    chosen = options.parse_args()

    task = ft.Task(
        "Say what this customer's message is about: one sentence of four to eight words, in words of the message.",
        input="{message}",
    )
    data = ft.Dataset.load(HERE.parent / "triage" / "messages.jsonl", task, id="id")
    train, test = data.split(test=60, seed=3)
    recipe = ft.RFT(
        grader=GRADER, epochs=1, batch_size=4, num_generations=6, max_output_tokens=24, learning_rate=3e-4,
        lr_scheduler_type="constant", beta=0.02, eval_steps=8, probe_prompts=4,
    )  # fmt: skip
    run = ft.train(recipe, train.take(chosen.rows), backend=chosen.backend, validation=test[:16])
    print(f"run {run.id}: `ftkit runs samples {run.id}` shows what is rewarded")
    run.wait()

    sampling = ft.Sampling(max_output_tokens=24)
    held_out = test[16:]  # the others chose the best checkpoint
    before = ft.evaluate(
        ft.Model(chosen.backend, task),
        held_out,
        metrics=[GRADER],
        sampling=sampling,
        label="base",
        probes=ft.Probes(general=32),
    )
    after = ft.evaluate(
        run.model, held_out, metrics=[GRADER], sampling=sampling, label="reinforced", probes=ft.Probes(general=32)
    )
    print(ft.compare(before, after))
    for row in held_out.take(3):
        print(f"\n{row.columns['message']}\n-> {run.model.predict(message=row.columns['message'])}")


if __name__ == "__main__":
    main()
