"""OpenAI's client for JavaScript, as npm gives it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Running, rows

PACKAGE = "FTKIT_OPENAI_NODE"
"""Names a folder where ``npm install openai`` was run."""

NODE, FOLDER = shutil.which("node"), os.environ.get(PACKAGE, "")


@pytest.mark.skipif(
    NODE is None or not (Path(FOLDER) / "node_modules" / "openai").is_dir(),
    reason=f"node is not here, or {PACKAGE} names no folder with the package openai",
)
def test_the_javascript_client_trains_a_model(server: Running, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(Path(FOLDER).resolve() / "node_modules")
    script = tmp_path / "client.mjs"
    shutil.copy(Path(__file__).with_name("client.mjs"), script)
    command = [str(NODE), str(script), server.url, rows(8).decode()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    job = found["job"]
    assert job["status"] == "succeeded", job["error"]
    assert found["listed"] == [job["id"]]
    assert found["said"][0] == f"Created fine-tuning job: {job['id']}"
    assert found["said"][-1] == "The job has successfully completed"
    assert found["checkpoints"] == 1
    assert found["model"]["id"] == job["fine_tuned_model"]
    assert found["refusal"] == [404, "model_not_found", "NotFoundError"]
    assert found["content"] == "abc"
    assert found["deleted"]["deleted"] is True
