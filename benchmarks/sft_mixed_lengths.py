"""Supervised fine-tuning on rows of mixed lengths that share nothing: ftkit beside TRL's SFTTrainer.

    python benchmarks/sft_mixed_lengths.py [--rows 80] [--repeat 3] [--precision fp32] [--adapter lora]
    python benchmarks/sft_mixed_lengths.py --addresses train.jsonl    # lines of {"address": "…", "parts": {…}} besides

Clinic notes and support replies in turn, without any instructions. (The model's chat template begins every conversation
with the same 22 tokens; "nothing shared" computes those anew too.)
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from contest import Contender, Contest, chosen_threads, compete, options, show

import ftkit as ft

EXAMPLES = Path(__file__).parent.parent / "examples"

CONTENDERS = (
    Contender("ftkit", "ftkit"),
    Contender("ftkit, nothing shared", "ftkit", {"shared_prefix": False}),
    Contender("ftkit, 512 tokens a pass", "ftkit", {"max_batch_tokens": 512}),
    Contender("TRL, 8 rows a pass", "trl"),
    Contender("TRL, 8 rows, checkpointing", "trl", {"gradient_checkpointing": True}),
    Contender(
        "TRL, 8 rows, by length", "trl", {"train_sampling_strategy": "group_by_length"}, same_batches=False
    ),
    Contender("TRL, 1 row a pass", "trl", {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}),
    Contender("TRL, padding-free", "trl", {"padding_free": True}),
    Contender(
        "TRL, packed",
        "trl",
        {"packing": True, "max_length": 512, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
        same_batches=False,
    ),
)  # fmt: skip


def rows(addresses: Path | None) -> Iterator[dict[str, str]]:
    def lines(file: Path, question: str, answer: str) -> list[dict[str, str]]:
        found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [
            {
                "text": one[question],
                "answer": one[answer] if isinstance(one[answer], str) else json.dumps(one[answer], ensure_ascii=False),
            }
            for one in found
        ]

    kinds = [
        lines(EXAMPLES / "visits" / "visits.jsonl", "note", "record"),
        lines(EXAMPLES / "tone" / "replies.jsonl", "draft", "reply"),
    ]
    if addresses is not None:
        kinds.append(lines(addresses, "address", "parts"))
    for group in itertools.zip_longest(*kinds):
        yield from (one for one in group if one is not None)


def main() -> None:
    parser: argparse.ArgumentParser = options(__doc__, rows=80)
    parser.add_argument("--addresses", type=Path, help="a JSONL file with address and parts, mixed in")
    chosen = parser.parse_args()
    chosen_threads(chosen)
    contest = Contest(
        task=ft.Task(input="{text}"),
        rows=list(itertools.islice(rows(chosen.addresses), chosen.rows)),
        columns={"target": "answer"},
        recipe=ft.SFT(
            epochs=1, batch_size=8, learning_rate=5e-4, lr_scheduler_type="constant", warmup_ratio=0.0,
            precision=chosen.precision, adapter={"kind": chosen.adapter, "rank": 16, "lora_alpha": 32.0},
        ),
        contenders=CONTENDERS,
    )  # fmt: skip
    show(contest, compete(contest, repeat=chosen.repeat))


if __name__ == "__main__":
    main()
