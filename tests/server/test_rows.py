"""Rows that cannot be trained on are found before a job is queued, and named by their line in a client's terms."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from .conftest import Running, ended, messages, rows, uploaded

IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


def chat(*turns: tuple[str, Any], **more: Any) -> bytes:
    return json.dumps({"messages": [{"role": role, "content": said} for role, said in turns], **more}).encode() + b"\n"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (chat(("user", IMAGE), ("assistant", "a")), "image_url"),
        (chat(("user", [{"type": "input_audio"}]), ("assistant", "a")), "input_audio"),
        (chat(("user", "a")), "assistant"),
        (b'{"messages": []}\n', "messages"),
        (chat(("user", "a"), ("assistant", "long " * 9000)), "tokens; the model takes"),
        (chat(("user", "a"), ("assistant", "b"), tools=TOOLS), "leaves out the tools"),
        (chat(("user", "a"), ("assistant", "")), "empty"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_named_before_the_job_is_queued(
    server: Running, client: openai.OpenAI, row: bytes, said: str
) -> None:
    for role in ("training", "validation"):
        files = {"training": uploaded(client, rows(4)), "validation": uploaded(client, rows(2, start=50))}
        files[role] = uploaded(client, rows(2) + row + rows(1, start=9))
        job = client.fine_tuning.jobs.create(
            model="tiny", training_file=files["training"], validation_file=files["validation"]
        )
        done = ended(client, job.id)
        assert (done.status, done.error.code, done.error.param) == ("failed", f"invalid_{role}_file", f"{role}_file")
        assert "ine 3" in done.error.message or "file:3:" in done.error.message, done.error.message
        assert said in done.error.message
        for word in (str(server.home), "/", "max_length", "--no-lint", "lint=False", "ftkit never"):
            assert word not in done.error.message
        said_events = messages(client, job.id)
        assert "Files validated, moving job to queued state" not in said_events
        assert said_events[-1] == done.error.message


@pytest.mark.slow
def test_text_parts_and_nine_rows_are_trained(client: openai.OpenAI) -> None:
    part = [{"type": "text", "text": "say a"}]
    job = client.fine_tuning.jobs.create(
        model="tiny",
        training_file=uploaded(client, rows(8) + chat(("user", part), ("assistant", "a"))),
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
    )
    assert ended(client, job.id).status == "succeeded"


@pytest.mark.slow
def test_preferences_and_prompts_are_checked_too(client: openai.OpenAI, rewarding: Running) -> None:
    long = "long " * 9000
    pair = {"input": {"messages": [{"role": "user", "content": "a"}]}}
    pair |= {"preferred_output": [{"role": "assistant", "content": long}]}
    pair |= {"non_preferred_output": [{"role": "assistant", "content": "b"}]}
    file = uploaded(client, json.dumps(pair).encode() + b"\n")
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file, method={"type": "dpo"})
    assert "Line 1: it has " in ended(client, job.id).error.message
    other = rewarding.client()
    grader: Any = {"type": "string_check", "name": "a", "operation": "eq", "input": "x", "reference": "x"}
    prompt = json.dumps({"messages": [{"role": "user", "content": long}]}).encode() + b"\n"
    job = other.fine_tuning.jobs.create(
        model="decided",
        training_file=uploaded(other, prompt),
        method={"type": "reinforcement", "reinforcement": {"grader": grader}},
    )
    done = ended(other, job.id)
    assert done.error.code == "invalid_training_file"
    assert "its answer may take" in done.error.message


def test_events_can_be_streamed_and_none_follows_a_cancellation(server: Running, client: openai.OpenAI) -> None:
    job = client.fine_tuning.jobs.create(
        model="tiny",
        training_file=uploaded(client, rows(64)),
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 40, "batch_size": 1}}},
    )
    path = f"/fine_tuning/jobs/{job.id}/events?stream=true"
    streamed: list[dict[str, Any]] = []
    with client.with_options(timeout=120)._client.stream("GET", f"{server.url}/v1{path}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if not line:
                continue
            data = line.removeprefix("data: ")
            if data == "[DONE]":
                break
            streamed.append(json.loads(data))
            if streamed[-1]["message"] == "Fine-tuning job started":
                client.fine_tuning.jobs.cancel(job.id)
    said = [event["message"] for event in streamed]
    assert said[0] == f"Created fine-tuning job: {job.id}"
    assert said[-1] == "Fine-tuning job cancelled"
    assert client.fine_tuning.jobs.list_events(job.id, limit=1).data[0].message == "Fine-tuning job cancelled"
    with pytest.raises(openai.BadRequestError, match="neither true nor false"):
        client.get(path.replace("true", "perhaps"), cast_to=object)
