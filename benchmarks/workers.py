"""Several workers against one: the speed of training SmolLM2-135M, each worker with one thread.

    python benchmarks/workers.py --rows 64
    python benchmarks/workers.py --rows 64 --ray http://127.0.0.1:8265 --storage /shared

Rows have mixed lengths and no common prefix, which every worker would compute for itself. Their order is the same for
all, and so are the losses but for rounding. The first two steps are not timed.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and inherited by the workers

import ftkit as ft
from ftkit.backends import Backend
from ftkit.backends.local import LocalBackend

WORDS = ("fever", "cough", "monday", "slept", "pain", "left", "knee", "takes", "aspirin", "asks", "visit", "lives")
WARM_UP = 2


def rows(count: int) -> ft.Dataset:
    """Notes of 20 to 160 words with an answer of 10 to 40."""
    chance = random.Random(7)
    made = []
    for number in range(count):
        note = " ".join(chance.choices(WORDS, k=chance.randrange(20, 160)))
        answer = " ".join(chance.choices(WORDS, k=chance.randrange(10, 40)))
        made.append({"note": f"{number} {note}", "answer": answer})
    return ft.Dataset.from_rows(made, ft.Task(input="{note}"), target="answer")


def measure(backend: Backend, recipe: ft.Recipe, data: ft.Dataset) -> tuple[float, list[float]]:
    """Examples per second after the first steps, and all losses."""
    steps = list(ft.train(recipe, data, backend=backend, lint=False).wait(progress=False).metrics)
    timed = steps[WARM_UP:]
    return len(timed) * recipe.batch_size / sum(step["seconds"] for step in timed), [step["loss"] for step in steps]


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--ray", help="the jobs API of a cluster, instead of processes on this machine")
    parser.add_argument("--storage", help="the folder that the cluster shares with this machine")
    asked = parser.parse_args()
    recipe = ft.SFT(epochs=1, batch_size=asked.batch_size, learning_rate=1e-4, precision="fp32", adapter=ft.LoRA())
    data, found = rows(asked.rows), []
    with tempfile.TemporaryDirectory() as home:
        os.environ.setdefault("FTKIT_HOME", home)
        for workers in (1, asked.workers):
            if asked.ray is None:
                backend: Backend = LocalBackend(asked.model, workers=workers)
            else:
                backend = ft.Ray(
                    asked.model, address=asked.ray, workers=workers, gpus_per_worker=0, storage=asked.storage
                )
            found.append((workers, *measure(backend, recipe, data)))
    alone = found[0]
    print(f"{'workers':>8} {'examples/s':>11} {'speed':>7} {'largest relative difference of a loss':>39}")
    for workers, speed, losses in found:
        apart = max(abs(one - other) / abs(other) for one, other in zip(losses, alone[2], strict=True))
        print(f"{workers:>8} {speed:>11.2f} {speed / alone[1]:>6.2f}x {apart:>39.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
