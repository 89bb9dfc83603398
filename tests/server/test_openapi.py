"""Everything OpenAI's OpenAPI file allows, and what it does not: no request breaks the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import openai
import pytest
import yaml

from .conftest import Running, rows, uploaded
from .specification import SPECS, seen, specification

OURS = ("/files", "/uploads", "/fine_tuning/jobs", "/models")

pytestmark = pytest.mark.skipif(not os.environ.get(SPECS), reason=f"{SPECS} names no folder with the OpenAPI file")


def ours() -> list[str]:
    spec = specification()
    assert spec is not None
    return [path for path in spec["paths"] if path.startswith(OURS)]


def test_all_answers_are_held_to_the_file(client: openai.OpenAI) -> None:
    file = uploaded(client, b"{}\n")
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file)
    upload = client.uploads.create(filename="a", purpose="fine-tune", bytes=1, mime_type="x").id
    client.uploads.parts.create(upload, data=b"x")
    client.uploads.cancel(upload)
    upload = client.uploads.create(filename="a", purpose="fine-tune", bytes=1, mime_type="x").id
    client.uploads.complete(upload, part_ids=[client.uploads.parts.create(upload, data=b"x").id])
    client.files.list()
    client.files.retrieve(file)
    client.files.delete(file)
    client.fine_tuning.jobs.retrieve(job.id)
    client.fine_tuning.jobs.list()
    client.fine_tuning.jobs.list_events(job.id)
    client.fine_tuning.jobs.checkpoints.list(job.id)
    client.models.list()
    client.models.retrieve("tiny")
    asked = {(path, method) for path, method in seen if path.startswith(OURS)}
    assert len(asked) >= 14


@pytest.mark.slow
def test_schemathesis_finds_no_fault_of_the_server(server: Running, client: openai.OpenAI, tmp_path: Path) -> None:
    uploaded(client, rows(2))
    spec = dict(specification() or {})
    spec["paths"] = {path: spec["paths"][path] for path in ours()}
    spec["servers"] = [{"url": f"{server.url}/v1"}]
    file = tmp_path / "ours.yaml"
    file.write_text(yaml.safe_dump(spec))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(file), "--url", f"{server.url}/v1"),
        *("--checks", "not_a_server_error", "--max-examples", "40", "--phases", "examples,coverage,fuzzing"),
        *("--request-timeout", "20", "--seed", "1", "--header", "Authorization: Bearer any"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "".join(server.log).count("Traceback") == 0
