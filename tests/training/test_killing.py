"""SIGKILL at random moments, while loading, computing or writing: the result has the bits of an uninterrupted run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def trained(model: str, output: Path, adapter: str, kills: int, seed: int = 0) -> tuple[int, bytes]:
    """How often training was killed, and what came out in the end."""
    command = [sys.executable, "-m", "tests.training.killing", model, str(output), adapter, str(seed), str(kills)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=alone)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1]), (output / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("adapter", "kills"),
    [("qlora", 2), *(pytest.param(name, 12, marks=pytest.mark.slow) for name in ("qlora", "adalora", "reinforcement"))],
)
def test_a_run_killed_again_and_again_ends_as_one_that_was_not(adapter, kills, tiny_model, tmp_path):
    none, expected = trained(tiny_model, tmp_path / "whole", adapter, kills=0)
    often, found = trained(tiny_model, tmp_path / "killed", adapter, kills=kills)
    assert (none, found == expected) == (0, True)
    assert often >= kills - 2


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "qlora", "dora", "adalora"])
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_a_hundred_times_ends_as_one_that_was_not(adapter, seed, tiny_model, tmp_path):
    _, expected = trained(tiny_model, tmp_path / "whole", adapter, kills=0)
    often, found = trained(tiny_model, tmp_path / "killed", adapter, kills=100, seed=seed + 1)
    assert found == expected
    assert often >= 8
