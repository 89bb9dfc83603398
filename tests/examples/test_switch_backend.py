"""examples/switch_backend.py as docs/hosted.md has it run, with a small model for the part that trains here."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "switch_backend.py"


@pytest.mark.slow
def test_one_script_trains_and_compares_on_four_backends(tiny_model, monkeypatch, tmp_path):
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path))
    backends = (f"local:{tiny_model}", "openai:gpt-4.1-mini", "together:Qwen/Qwen3.5-9B", "fireworks:qwen3-8b")
    command = [sys.executable, str(SCRIPT), "--rows", "24", *backends]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    here, *hosts = (line for line in done.stdout.splitlines() if line.partition(": ")[0] in backends)
    assert "trained for" not in here
    assert all("trained for $" in line for line in hosts)
    table = done.stdout[done.stdout.index("model ") :]
    assert all(backend in table for backend in backends)
    assert table.count("better") == len(hosts)  # the fakes answer from the file, the small model knows nothing
