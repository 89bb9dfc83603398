"""No request keeps the others waiting, however expensive it is to handle."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from ftkit.server.workers import WorkerLimitError, WorkerPool

from . import bounded_work
from .attacks import ATTACKS, attack
from .conftest import Running

_HEALTH_S = 1.0
"""Five times of what docs/serve.md promises."""


@pytest.fixture(scope="module", autouse=True)
def loaded(server: Running) -> None:
    """The first chat requests load torch and llguidance, which keeps the server for a moment."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    for first in ({}, {"response_format": {"type": "json_object"}}):
        assert chat(server, json.dumps({**body, **first}).encode()).status_code == 200


@pytest.mark.parametrize("name", ATTACKS)
def test_others_are_answered_meanwhile(server: Running, name: str) -> None:
    outcome = attack(server.url, ATTACKS[name])
    assert set(outcome.statuses) <= set(ATTACKS[name].statuses), (outcome.statuses, outcome.messages)
    assert outcome.health < _HEALTH_S
    assert outcome.seconds < 60
    assert all(len(message) < 2_500 for message in outcome.messages)


def chat(server: Running, content: bytes, **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/chat/completions", content=content, headers=headers, timeout=60)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"messages": [{"role": "user", "content": "x"}] * 3000}, "at most 2048 items"),
        ({"stop": "x" * 2000}, "at most 1,024 characters"),
        ({"logprobs": None, "top_logprobs": 2}, "Invalid value for 'top_logprobs': it needs logprobs"),
        ({"stream_options": {}}, "Invalid value for 'stream_options': it needs stream"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "Invalid value for 'max_tokens': max_completion_tokens has"),
        ({"user": [0] * 120_000}, "more than 100,000 values"),
    ],
)
def test_limits_are_named(server: Running, options: dict[str, Any], said: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], **options}
    answer = chat(server, json.dumps(body).encode())
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert said in message
    assert "None" not in message


def test_bodies_may_be_compressed(server: Running) -> None:
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}).encode()
    packed = gzip.compress(body)
    assert chat(server, packed, **{"content-encoding": "gzip"}).status_code == 200
    file = {"file": ("rows.jsonl", b"{}\n"), "purpose": (None, "fine-tune")}
    form = httpx.Request("POST", f"{server.url}/v1/files", files=file)
    sent = {"content-type": form.headers["content-type"], "content-encoding": "gzip"}
    answer = httpx.post(form.url, content=gzip.compress(form.read()), headers=sent)
    assert (answer.status_code, answer.json().get("bytes")) == (200, 3)
    for content in (packed[:-4], packed[:20], packed + b"x", b"", b"plain"):
        answer = chat(server, content, **{"content-encoding": "gzip"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_gzip"), content
    answer = chat(server, packed, **{"content-encoding": "br"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_content_encoding")


def test_work_is_ended_at_its_limits_and_the_pool_goes_on() -> None:
    pool = WorkerPool(1, 512 * 2**20)
    try:
        assert pool.run(bounded_work.add, 1, 2) == 3
        with pytest.raises(WorkerLimitError, match="more time"):
            pool.run_for(0.5, bounded_work.forever)
        with pytest.raises(WorkerLimitError, match="more memory"):
            pool.run(bounded_work.large)
        with pytest.raises(ValueError, match="no such thing"):
            pool.run(bounded_work.broken)
        with pytest.raises(RuntimeError, match="OddError: odd"):
            pool.run(bounded_work.odd)
        assert pool.run(bounded_work.printed) == "said"
    finally:
        pool.close()
