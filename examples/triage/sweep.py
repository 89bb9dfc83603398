"""Six recipes side by side: three learning rates by two ranks, on the same rows, followed by a tracker.

    python examples/triage/sweep.py
    python examples/triage/sweep.py --tracker tensorboard

The same command goes on with the sweep after an interruption, and trains nothing twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

import ftkit as ft

HERE = Path(__file__).parent
Queue = Literal["billing", "bug", "how_to", "cancellation", "lost_property", "praise"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", default="local:smollm2-135m", help='where and what, as "name:model"')
    options.add_argument("--tracker", default="trackio", help="trackio, tensorboard, mlflow or wandb")
    options.add_argument("--out", type=Path, default=Path("demo-output"))
    chosen = options.parse_args()

    task = ft.Task("Sort the customer's message into one queue.", input="{message}", output=Queue)
    data = ft.Dataset.load(HERE / "messages.jsonl", task, target="label", id="id")
    train, test = data.split(test=0.25, stratify_by="label", seed=3)
    overview = ft.sweep(
        ft.SFT(epochs=1, batch_size=8),
        train,
        test,
        backends=chosen.backend,
        grid={"learning_rate": [1e-4, 3e-4, 1e-3], "adapter.rank": [4, 16]},
        trackers=[chosen.tracker],
        probes=False,
    )
    print(overview)
    chosen.out.mkdir(parents=True, exist_ok=True)
    overview.save(chosen.out / "sweep.html")
    print(f"best: {overview.best.fields} (run {overview.best.run})")


if __name__ == "__main__":
    main()
