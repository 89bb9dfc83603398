"""Graders beside hosted models: embeddings by a host, and the tools that a hosted model calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import Request, registry
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.cli.app import app
from ftkit.errors import HostError, RefusedError

from .conftest import QUICK
from .openai_host import OpenAIFake, embedding
from .serving import Call

COSINE = ft.TextSimilarityGrader(reference="{{item.wanted}}", evaluation_metric="cosine")
EMBEDDER = "openai:text-embedding-3-large"


@pytest.fixture
def embedder(openai_fake: OpenAIFake, monkeypatch: pytest.MonkeyPatch) -> OpenAIFake:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    registry.backend_of(EMBEDDER).retry_policy = QUICK  # type: ignore[attr-defined]
    return openai_fake


def _asked(fake: OpenAIFake) -> list[dict[str, Any]]:
    return [call.json() for call in fake.calls if call.path.endswith("/embeddings")]


def test_a_host_embeds_and_the_cosine_is_numpys(embedder: OpenAIFake) -> None:
    rows, answers = [{"wanted": "take one tablet"}] * 300, [f"take {'x' * n} tablets" for n in range(299)] + [""]
    found = ft.grade(COSINE, rows, answers, embedder=EMBEDDER)
    wanted, said = np.array(embedding("take one tablet")), np.array([embedding(text) for text in answers[:-1]])
    cosines = said @ wanted / (np.linalg.norm(said, axis=1) * np.linalg.norm(wanted))
    assert [one.reward for one in found] == pytest.approx([*cosines, 0.0])
    assert not found.errors
    asked = _asked(embedder)
    assert {one["model"] for one in asked} == {"text-embedding-3-large"}
    assert [len(one["input"]) for one in asked] == [256, 44]  # each text once, many a call


def test_failures_that_pass_are_tried_again_and_a_text_too_long_is_counted(embedder: OpenAIFake) -> None:
    faults = iter(["429", "503_text", "truncate"])
    embedder.fault = lambda call: next(faults, None)  # type: ignore[assignment,return-value]
    answers = ["a tablet", "long " * 4000, "two tablets"]
    found = ft.grade(COSINE, [{"wanted": "a tablet"}] * 3, answers, embedder=EMBEDDER)
    assert [one.error for one in found] == [None, "other_error", None]
    assert "8192 tokens" in str(found[1].detail)
    assert found[0].reward == pytest.approx(1.0)


def test_a_host_that_is_down_is_counted_and_one_that_refuses_is_told(embedder: OpenAIFake) -> None:
    embedder.fault = lambda call: "500_before"
    impatient = type(QUICK)(budget_s=0.0, sleep=lambda seconds: None)
    registry.backend_of(EMBEDDER).retry_policy = impatient  # type: ignore[attr-defined]
    found = ft.grade(COSINE, [{"wanted": "a"}] * 2, ["a", "b"], embedder=EMBEDDER)
    assert found.errors == {"model_grader_server_error": 2}
    embedder.fault = lambda call: None
    embedder.override = lambda call: (404, {"error": {"message": "no such model", "code": "model_not_found"}}, {})
    with pytest.raises(HostError, match="embedding texts was refused with 404"):
        ft.grade(COSINE, [{"wanted": "a"}], ["a"], embedder=EMBEDDER)


def test_the_command_line_takes_an_embedder(embedder: OpenAIFake, tmp_path: Path) -> None:
    (tmp_path / "grader.json").write_text(COSINE.model_dump_json())
    (tmp_path / "rows.jsonl").write_text('{"wanted": "one tablet", "answer": "one tablet"}\n')
    asked = ["grade", str(tmp_path / "rows.jsonl"), "--grader", str(tmp_path / "grader.json"), "--json"]
    done = CliRunner().invoke(app, [*asked, "--embedder", EMBEDDER])
    assert (done.exit_code, json.loads(done.stdout.splitlines()[0])) == (0, {"reward": pytest.approx(1.0)})
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 2
    assert "--embedder" in refused.output


def test_training_by_cosine_is_refused_where_the_host_takes_none(openai_jobs: OpenAIJobs, notes: ft.Dataset) -> None:
    both = ft.MultiGrader(graders={"near": COSINE}, calculate_output="near")
    for grader in (COSINE, both):
        with pytest.raises(RefusedError, match="cosine in its evaluations alone"):
            openai_jobs.check(ft.RFT(grader=grader), notes, notes)


TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "book", "arguments": '{"room": "blue"}'}}


def _calls_the_tool(call: Call) -> tuple[int, Any, dict[str, str]] | None:
    if not call.path.endswith("/chat/completions"):
        return None
    assert call.json()["tools"] == [TOOL]
    message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]}
    choice = {"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": message}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    kind = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini"}
    return 200, {**kind, "choices": [choice], "usage": usage}, {}


def test_graders_see_the_tools_that_a_hosted_model_calls(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, tmp_path: Path
) -> None:
    openai_fake.override = _calls_the_tool
    file = tmp_path / "rows.jsonl"
    wanted = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    messages = [{"role": "user", "content": "Book the blue room."}, wanted]
    file.write_text(json.dumps({"messages": messages, "tools": [TOOL], "room": "blue"}) + "\n")
    data = ft.Dataset.load(file)
    name = ft.StringCheckGrader(name="name", input="{{sample.output_tools[0].function.name}}", reference="book")
    room = ft.StringCheckGrader(
        name="room", input="{{sample.output_tools[0].function.arguments}}", reference="{{item.room}}", operation="like"
    )
    model = ft.Model(openai_jobs, data.task)
    report = ft.evaluate(model, data, metrics=["auto", name, room], probes=None, progress=False)
    assert [report[one].value for one in ("tool_calls_match", "name", "room")] == [1.0, 1.0, 1.0]
    answers = model.answer_many([Request(row.prompt, row.tools) for row in data])
    assert ft.grade(room, data, answers).mean == 1.0
