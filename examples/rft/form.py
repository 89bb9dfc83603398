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
        "short": ft.FunctionGrader(function=graders.short),
        "slash": ft.FunctionGrader(function=graders.slash),
        "urgency": ft.FunctionGrader(function=graders.urgency),
    },
    calculate_output="(one_line + short + slash + urgency) / 4",
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--rows", type=int, default=128, help="messages to learn from; four a step")
    chosen = options.parse_args()

    task = ft.Task(
        "Say in one line what the customer wants, in at most six words. Then write a slash and how urgent it is: low, "
        "medium or high.",
        input="{message}",
    )
    data = ft.Dataset.load(HERE.parent / "triage" / "messages.jsonl", task, id="id")
    train, test = data.split(test=60, seed=3)
    recipe = ft.RFT(
        grader=GRADER, epochs=1, batch_size=4, num_generations=8, max_output_tokens=32, learning_rate=1e-3,
        lr_scheduler_type="constant", eval_steps=8,
    )  # fmt: skip
    run = ft.train(recipe, train.take(chosen.rows), backend=chosen.backend, validation=test[:16])
    print(f"run {run.id}: `ftkit runs samples {run.id}` shows what is rewarded")
    run.wait()

    sampling = ft.Sampling(max_output_tokens=32)
    held_out = test[16:]  # the others chose the best checkpoint
    before = ft.evaluate(
        ft.Model(chosen.backend, task), held_out, metrics=[GRADER], sampling=sampling, label="base", probes=ft.Probes()
    )
    after = ft.evaluate(
        run.model, held_out, metrics=[GRADER], sampling=sampling, label="reinforced", probes=ft.Probes()
    )
    print(ft.compare(before, after))
    for row in held_out.take(3):
        print(f"\n{row.columns['message']}\n-> {run.model.predict(message=row.columns['message'])}")


if __name__ == "__main__":
    main()
