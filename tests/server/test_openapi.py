"""Everything OpenAI's OpenAPI file allows, and what it does not: no request breaks the server."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml

from .conftest import Running, rows, uploaded
from .specification import SPECS, seen, specification

OURS = ("/files", "/uploads", "/fine_tuning/jobs", "/fine_tuning/alpha/graders", "/models")
CHAT = "/chat/completions"
TAKEN = (
    *("messages", "model", "max_completion_tokens", "n", "temperature", "top_p", "stop", "seed", "logprobs"),
    *("top_logprobs", "response_format", "stream", "stream_options", "tools", "tool_choice", "metadata", "user"),
)
"""What the server does not refuse by its name alone."""

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


def tried(server: Running, folder: Path, paths: dict[str, Any], checks: str, examples: int) -> None:
    """Let schemathesis ask for ``paths`` of the file, and find nothing."""
    spec = {**(specification() or {}), "paths": paths, "servers": [{"url": f"{server.url}/v1"}]}
    file = folder / "ours.yaml"
    file.write_text(yaml.safe_dump(spec))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(file), "--url", f"{server.url}/v1"),
        *("--checks", checks, "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing"),
        *("--request-timeout", "60", "--seed", "1", "--header", "Authorization: Bearer any"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "".join(server.log).count("Traceback") == 0


@pytest.mark.slow
def test_schemathesis_finds_no_fault_of_the_server(server: Running, client: openai.OpenAI, tmp_path: Path) -> None:
    uploaded(client, rows(2))
    paths = (specification() or {})["paths"]
    tried(server, tmp_path, {path: paths[path] for path in ours()}, "not_a_server_error", 40)


@pytest.mark.slow
@pytest.mark.parametrize("taken", [False, True])
def test_schemathesis_chats(server: Running, tmp_path: Path, *, taken: bool) -> None:
    """With all that the file allows, which is mostly refused; and with what is answered, whose answers it checks."""
    asking = copy.deepcopy((specification() or {})["paths"][CHAT]["post"])
    schemas = (specification() or {})["components"]["schemas"]
    known: dict[str, Any] = {}
    for name in ("ModelResponseProperties", "CreateModelResponseProperties", "CreateChatCompletionRequest"):
        for part in schemas[name].get("allOf", [schemas[name]]):
            known |= part.get("properties", {})
    known |= {"model": {"enum": ["tiny"]}, "n": {"type": "integer", "minimum": 1, "maximum": 2}}
    known["max_completion_tokens"] = {"type": "integer", "minimum": 1, "maximum": 8}
    del known["max_tokens"]  # the same
    if taken:
        said = {"type": "object", "properties": {"role": {"const": "user"}, "content": {"type": "string"}}}
        said |= {"required": ["role", "content"], "additionalProperties": False}
        known["messages"] = {"type": "array", "items": said, "minItems": 1, "maxItems": 3}
        known = {name: known[name] for name in TAKEN}
    body = {"type": "object", "properties": known, "required": ["model", "messages", "max_completion_tokens"]}
    asking["requestBody"]["content"]["application/json"]["schema"] = body | {"additionalProperties": False}
    checks = "not_a_server_error,response_schema_conformance,content_type_conformance"
    before = answered(server)
    tried(server, tmp_path, {CHAT: {"post": asking}}, checks, 60)
    assert answered(server) - before >= (20 if taken else 0)


def answered(server: Running) -> float:
    """How many requests for chat were answered."""
    told = httpx.get(f"{server.url}/metrics", timeout=60).text
    counts = re.findall(r'^ftkit_chat_requests_total\{status="200"\} (\S+)$', told, re.MULTILINE)
    return float(counts[0]) if counts else 0.0
