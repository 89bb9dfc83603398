"""Group-relative policy optimisation: ftkit beside TRL's GRPOTrainer.

    python benchmarks/grpo.py [--rows 8] [--repeat 1] [--precision fp32] [--adapter lora]

Both draw eight answers to each prompt from the model in training, reward them by the same function and take one step
on them; four prompts a step. The prompts are clinic notes under the instructions for extracting a record. Answers
differ, as they are drawn, so losses do not agree; they end at 48 tokens, which the base model nearly always reaches, so
that there is as much to write for both. How long they were is printed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from contest import Contender, Contest, chosen_threads, compete, options, show
from rewarding import letters

import ftkit as ft

NOTES = Path(__file__).parent.parent / "examples" / "visits" / "visits.jsonl"
PROMPTS, ANSWERS, LIMIT = 4, 8, 48
VISIT = {
    "type": "object",
    "properties": {
        "patient_name": {"type": "string"},
        "age": {"type": "integer"},
        "diagnosis": {"type": "string"},
        "medication": {"type": ["string", "null"]},
        "follow_up_days": {"type": ["integer", "null"]},
    },
    "required": ["patient_name", "age", "diagnosis", "medication", "follow_up_days"],
}
CONTENDERS = (
    Contender("ftkit", "ftkit"),
    *(
        Contender(
            f"TRL, {count} answers a pass", "trl",
            {
                "per_device_train_batch_size": count,
                "gradient_accumulation_steps": PROMPTS * ANSWERS // count,
            },
            same_batches=False,
        )
        for count in (8, 4)
    ),
)  # fmt: skip
"""TRL draws all answers of a step together, however few of them it learns from in one pass."""


def main() -> None:
    parser: argparse.ArgumentParser = options(__doc__, rows=2 * PROMPTS, repeat=1)
    chosen = parser.parse_args()
    chosen_threads(chosen)
    with NOTES.open(encoding="utf-8") as file:
        rows = [{"note": json.loads(line)["note"]} for line in file][: chosen.rows]
    contest = Contest(
        task=ft.Task("Extract the visit record from the clinic note.", input="{note}", output=VISIT),
        rows=rows,
        columns={},
        recipe=ft.RFT(
            grader=ft.FunctionGrader(function=letters), probe_prompts=0, epochs=1, batch_size=PROMPTS,
            num_generations=ANSWERS, max_output_tokens=LIMIT, learning_rate=1e-4, lr_scheduler_type="constant",
            warmup_ratio=0.0, precision=chosen.precision,
            adapter={"kind": chosen.adapter, "rank": 16, "lora_alpha": 32.0},
        ),
        contenders=CONTENDERS,
    )  # fmt: skip
    runs = compete(contest, repeat=chosen.repeat)
    show(contest, runs)
    for name, taken in runs.items():
        lengths = [length for one in taken for length in one.get("lengths", [])]
        if lengths:
            print(f"{name}: answers of {sum(lengths) / len(lengths):.1f} tokens on average")


if __name__ == "__main__":
    main()
