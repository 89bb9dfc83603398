"""SIGKILL at random moments, while loading, computing or writing: the result has the bits of an uninterrupted run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def trained(model: str, output: Path, adapter: str, kills: int, seed: int = 0) -> tuple[int, bool]:
    """How often training was killed, and whether it ended with the bits of a run that was not."""
    command = [sys.executable, "-m", "tests.training.killing", model, str(output), adapter, str(seed), str(kills)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=alone)
    assert done.returncode == 0, done.stderr[-2000:]
    whole, killed = ((output / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "killed"))
    return int(done.stdout.split()[-1]), whole == killed


@pytest.mark.parametrize(
    ("adapter", "kills"),
    [("lora", 2), *(pytest.param(name, 12, marks=pytest.mark.slow) for name in ("qlora", "adalora", "reinforcement"))],
)
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(adapter, kills, tiny_model, tmp_path):
    often, same = trained(tiny_model, tmp_path, adapter, kills=kills)
    assert same
    assert often >= max(1, kills - 2)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "qlora", "dora", "adalora"])
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_a_hundred_times_ends_as_one_that_was_not(adapter, seed, tiny_model, tmp_path):
    often, same = trained(tiny_model, tmp_path, adapter, kills=100, seed=seed + 1)
    assert same
    assert often >= 8
