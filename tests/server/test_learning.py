"""A real model, really trained through OpenAI's client, and better for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Running, new_home

SCRIPT = Path(__file__).parents[2] / "examples" / "own_server" / "run.py"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_example_makes_the_model_better(shared_models: Path, tmp_path: Path) -> None:
    running = Running(new_home(tmp_path / "served", shared_models), "--alias", "gpt-4.1-mini-2025-04-14=smollm2-135m")
    command = [sys.executable, str(SCRIPT), "--base-url", f"{running.url}/v1", "--rows", "64", "--test-rows", "10"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "2"}
    )
    running.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    base, tuned = (int(count) for count in re.findall(r"(\d+) of 50 fields right", done.stdout))
    assert tuned > base + 12, done.stdout
