"""Trains one job in a child, and again in children that are killed at random moments until one comes to the end.

    python -m tests.training.killing MODEL OUTPUT ADAPTER SEED KILLS

ADAPTER is that of a run on demonstrations, or "reinforcement". The results are OUTPUT/whole and OUTPUT/killed.

This process imports torch once and computes nothing, so its children can be forked quickly and safely. The job's data
come from a fixed list. Prints how often a child was killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from ftkit.recipe import Recipe
from ftkit.training.job import Job, train
from tests.training.test_grpo import rft as reinforcement
from tests.training.test_training import ADAPTERS, recipe, rows


def main(model: str, output: str, adapter: str, seed: int, kills: int) -> None:
    chosen: Recipe
    if adapter == "reinforcement":  # two steps for each draw, so that some die between them
        chosen = reinforcement(save_steps=1, eval_steps=4, epochs=6, num_iterations=2, beta=1e-3, dynamic_sampling=1)
    else:
        changes = {"epochs": 30, "learning_rate": 5e-2} if adapter == "adalora" else {"epochs": 24}
        chosen = recipe(ADAPTERS[adapter], save_steps=1, eval_steps=3, **changes)
    train_in_children(chosen, model, Path(output, "whole"), seed, 0)
    print(train_in_children(chosen, model, Path(output, "killed"), seed, kills))


def train_in_children(chosen: Recipe, model: str, output: Path, seed: int, kills: int) -> int:
    """Train until a child comes to the end; returns how often one was killed."""
    job = Job(chosen, rows(), rows(4, first=40), model, output)
    draw, killed = random.Random(seed), 0
    while True:
        began = time.monotonic()
        child = os.fork()
        if not child:
            train(job, lambda kind, data: None)
            os._exit(0)
        # Some die while they load, some after a few steps; none has time for all that is left.
        patience = draw.uniform(0.05, 0.6) if killed < kills else 240.0
        while time.monotonic() - began < patience:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                if status:
                    sys.exit(f"a child failed with status {status}")
                return killed
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1


if __name__ == "__main__":
    name, folder, kind, number, count = sys.argv[1:]
    main(name, folder, kind, int(number), int(count))
