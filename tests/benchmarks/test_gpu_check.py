"""The script for a GPU works without one, on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_check.py"


def outcomes(folder: Path, *options: str) -> dict[str, dict[str, object]]:
    """Run the script on tiny models."""
    file = folder / "found.json"
    command = [sys.executable, str(SCRIPT), "--small", "--json", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, dict[str, object]] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_the_attention_is_compared_with_a_dense_one(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "--only", "environment", "tree_attention")
    assert found["tree_attention"]["passed"] is True
    assert "float32" in str(found["tree_attention"]["says"])


@pytest.mark.slow
def test_every_part_runs(tmp_path: Path) -> None:
    found = outcomes(tmp_path)
    assert len(found) == 17
    assert {part for part, outcome in found.items() if outcome["passed"] is None} == {
        "paged_optimizer",
        *(part for part in found if part.startswith(("ftkit_", "trl_", "answers_"))),
    }
