"""What the contests of preferences have in common: pairs of replies under a house's rules of style."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from contest import Contender, Contest, chosen_threads, compete, options, show

import ftkit as ft

__all__ = ["compete_on_pairs"]

PAIRS = Path(__file__).parent.parent / "examples" / "preferences" / "replies.jsonl"

RULES = """\
You rewrite drafts of our staff as replies to customers of a bicycle hire by the sea. Write as one person to another, in \
the first person, without "Dear customer" and without a signature. Begin with what matters to the reader: what was \
found, what it costs, what they must do. Say sums, dates, places and numbers exactly as the draft says them; leave none \
out and add none. Where the fault is ours, say so once and plainly, and do not promise what the draft does not. Where it \
is not, never blame: tell what happened and what follows from it. No exclamation marks, no emphasis, no jokes about \
weather. Two sentences are better than five. Give the reply and nothing else."""

CONTENDERS = (
    Contender("ftkit", "ftkit"),
    Contender("TRL, 8 pairs a pass", "trl"),
    Contender("TRL, 1 pair a pass", "trl", {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}),
)


def compete_on_pairs(description: str | None, recipe: type[ft.DPO] | type[ft.RewardModel], **settings: float) -> None:
    """Run the contest that the command line asks for, and print its table."""
    parser: argparse.ArgumentParser = options(description, rows=24)
    chosen = parser.parse_args()
    chosen_threads(chosen)
    with PAIRS.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][: chosen.rows]
    contest = Contest(
        task=ft.Task(RULES, input="{draft}"),
        rows=[{name: row[name] for name in ("draft", "chosen", "rejected")} for row in rows],
        columns={"chosen": "chosen", "rejected": "rejected"},
        recipe=recipe(
            epochs=1, batch_size=8, learning_rate=1e-4, lr_scheduler_type="constant", warmup_ratio=0.0,
            precision=chosen.precision, adapter={"kind": chosen.adapter, "rank": 16, "lora_alpha": 32.0}, **settings,
        ),
        contenders=CONTENDERS,
    )  # fmt: skip
    show(contest, compete(contest, repeat=chosen.repeat))
