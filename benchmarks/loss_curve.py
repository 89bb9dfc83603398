"""Fifty steps on a real model: how far ftkit's losses are from TRL's where both see the same rows in the same order.

    python benchmarks/loss_curve.py [--rows 200] [--precision fp32] [--adapter lora]

Both begin with the same adapter, drawn from the same seed. In float32 what remains is the order of additions.
"""

from __future__ import annotations

import json
from pathlib import Path

from contest import Contender, Contest, chosen_threads, compete, options

import ftkit as ft

NOTES = Path(__file__).parent.parent / "examples" / "visits" / "visits.jsonl"


def main() -> None:
    chosen = options(__doc__, rows=200, repeat=1).parse_args()
    chosen_threads(chosen)
    with NOTES.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][: chosen.rows]
    contest = Contest(
        task=ft.Task("Extract the visit record from the clinic note.", input="{note}"),
        rows=[{"note": row["note"], "answer": json.dumps(row["record"], ensure_ascii=False)} for row in rows],
        columns={"target": "answer"},
        recipe=ft.SFT(
            epochs=1, batch_size=4, learning_rate=5e-4, lr_scheduler_type="constant", warmup_ratio=0.0,
            precision=chosen.precision, adapter={"kind": chosen.adapter, "rank": 16, "lora_alpha": 32.0},
        ),
        contenders=(Contender("ftkit", "ftkit"), Contender("TRL", "trl")),
    )  # fmt: skip
    runs = compete(contest, repeat=1)
    mine, theirs = (runs[name][-1]["losses"] for name in ("ftkit", "TRL"))
    print(f"{'step':>5}{'ftkit':>12}{'TRL':>12}{'difference':>13}")
    for step, (one, other) in enumerate(zip(mine, theirs, strict=True), 1):
        if step == 1 or step % 5 == 0:
            print(f"{step:5}{one:12.7f}{other:12.7f}{one - other:13.1e}")
    largest, step = max((abs(one - other), step) for step, (one, other) in enumerate(zip(mine, theirs, strict=True), 1))
    print(f"largest difference in {len(mine)} steps: {largest:.1e}, at step {step} (loss {theirs[step - 1]:.4f})")


if __name__ == "__main__":
    main()
