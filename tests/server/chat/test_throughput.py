"""A hundred requests at once are answered at a multiple of the rate of one after another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "serving.py"


@pytest.mark.slow
def test_a_hundred_at_once_are_answered_at_three_times_the_rate() -> None:
    command = [sys.executable, str(BENCHMARK), "--alone", "6", "--tokens", "16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    ratio = re.search(r"([\d.]+) times the rate", done.stdout)
    assert ratio is not None
    assert float(ratio[1]) >= 3, done.stdout
