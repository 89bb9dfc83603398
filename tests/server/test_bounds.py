"""No request keeps the others waiting, however expensive it is to handle."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import json
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from ftkit.server import lazy_chat
from ftkit.server.app import create_app
from ftkit.server.chat.connection import unless_disconnected
from ftkit.server.errors import ApiError
from ftkit.server.files.file_table import FileTable
from ftkit.server.files.uploads import UploadTable
from ftkit.server.settings import Settings
from ftkit.server.state import State
from ftkit.server.workers import WorkerLimitError, WorkerPool
from ftkit.store import Store

from . import bounded_work
from .attacks import ATTACKS, attack
from .conftest import Running
from .health_watch import HealthWatch

_HEALTH_S = 1.0
"""Five times of what docs/serve.md promises."""


@pytest.fixture(scope="module", autouse=True)
def loaded(server: Running) -> None:
    """The first chat requests load torch and llguidance, which keeps the server for a moment."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    for first in ({}, {"response_format": {"type": "json_object"}}):
        assert chat(server, json.dumps({**body, **first}).encode()).status_code == 200


@pytest.fixture(scope="module")
def watch(server: Running) -> Iterator[HealthWatch]:
    with HealthWatch(server.url) as watching:
        yield watching


_QUICK = {
    "schema of 20 nested `allOf` pairs (1.4 kB)",
    "schema of 20,000 properties",
    "schema nested 300 deep",
    "schema of 4,000 references in a chain",
    "`logit_bias` of 90,000 wrong values",
    'grader template `"{{" * 15000`',
    "grader template that becomes 3 GB",
    "`rouge_l` of two texts of 45,000 words",
    "a file of 16 MB of almost boundaries",
    "three prompts of 7 MB",
    "three thoughts of 7 MB",
    "turns forged with 20,000 control tokens",
    "eight bodies of 8 MB of numbers",
    "JSON nested 100,000 deep",
    "a stop string of 4 MB",
    "64 kB of gzip that become 64 MB",
}
"""At least one of each kind."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in _QUICK)) for name in ATTACKS]
)
def test_others_are_answered_meanwhile(server: Running, watch: HealthWatch, name: str) -> None:
    outcome = attack(server.url, ATTACKS[name], watch)
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
        ({"logit_bias": {str(number): 1 for number in range(2000)}}, "at most 1,024 tokens may have a bias"),
        ({"logit_bias": {"01": 1}}, "'01' is not the id of a token"),
        ({"metadata": {str(number): "" for number in range(17)}}, "at most 16 pairs"),
        ({"metadata": {"a": "x" * 513}}, "values 512"),
        ({"tool_choice": [0] * 2000}, "more than 1,024 values"),
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


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {f"p{n}": {"type": "string", "format": "date-time"} for n in range(1500)}},
        {"enum": [{"a": [[[n]]]} for n in range(1500)]},
    ],
    ids=["formats", "enum"],
)
def test_an_answer_that_cannot_be_followed_is_the_clients_fault(server: Running, schema: dict[str, Any]) -> None:
    given = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 8, "response_format": given}
    answer = chat(server, json.dumps(body).encode())
    assert answer.status_code in (200, 400), answer.text  # clients repeat what gets 503
    if answer.status_code == 400:
        assert answer.json()["error"]["code"] == "too_complex"


def test_a_body_in_chunks_of_one_byte_keeps_nobody_waiting(server: Running) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    longest = 0.0
    with socket.create_connection((host, int(port)), timeout=60) as raw, httpx.Client() as client:
        sender = threading.Thread(target=lambda: raw.sendall(head + b"1\r\nx\r\n" * 150_000 + b"0\r\n\r\n"))
        sender.start()
        while sender.is_alive():
            asked = time.monotonic()
            client.get(f"{server.url}/health", timeout=60)
            longest = max(longest, time.monotonic() - asked)
        found = b""
        while b"We could not parse the JSON body" not in found:
            received = raw.recv(65536)  # the head may come alone
            assert received, found
            found += received
        # Further requests on the same connection, one behind the other, are all answered.
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500)
        found = b""
        while found.count(b'{"status":"ok"}') < 500:
            found += raw.recv(65536)
    assert longest < _HEALTH_S


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape", "raw_unicode_escape", "utf-16", "punycode", "idna"])
def test_names_in_odd_charsets_are_refused(server: Running, charset: str) -> None:
    file = b'--f\r\nContent-Disposition: form-data; name="file"; filename="a\\ud800 xn--\xff"\r\n\r\n{}\r\n--f--\r\n'
    headers = {"content-type": f"multipart/form-data; boundary=f; charset={charset}"}
    answer = httpx.post(f"{server.url}/v1/files", content=file, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_content_type")


def test_an_upload_has_a_limited_number_of_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path))
    state = State(Store())
    uploads = UploadTable(state, FileTable(state))
    with state.connection() as connection:
        connection.execute(
            "INSERT INTO uploads (project, id, filename, purpose, bytes, mime_type, status, created_at, expires_at) "
            "VALUES ('default', 'upload_x', 'a', 'fine-tune', 9, 'text/plain', 'pending', 1, 99999999999)"
        )
        rows = [(f"part_{number}", "upload_x", 0, 1) for number in range(10_000)]
        connection.executemany("INSERT INTO parts (id, upload_id, bytes, created_at) VALUES (?, ?, ?, ?)", rows)
    assert uploads.received("upload_x") == (10_000, 0)
    with TestClient(create_app(Settings(models={})), base_url="http://localhost") as client:
        answer = client.post("/v1/uploads/upload_x/parts", files={"data": ("a", b"")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "too_many_parts")


def test_collections_leave_out_what_lives_as_long_as_the_process() -> None:
    """A collection holds Python's lock, so ``/health`` waits for it."""
    lazy_chat._modules.cache_clear()
    try:
        lazy_chat._modules()
        assert gc.get_freeze_count() > 100_000
        assert gc.isenabled()
        began = time.thread_time()
        gc.collect()
        assert time.thread_time() - began < 0.1
    finally:
        gc.unfreeze()


def test_a_refused_request_leaves_nothing_to_be_collected() -> None:
    class Body:
        pass

    async def respond() -> weakref.ref[Body]:
        body = Body()
        kept = weakref.ref(body)

        async def refuse(held: Body) -> None:
            raise ApiError(400, "no")

        with contextlib.suppress(ApiError):
            await unless_disconnected(Request({"type": "http"}, receive), refuse(body))
        return kept

    async def receive() -> dict[str, str]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    gc.disable()
    try:
        assert asyncio.run(respond())() is None
    finally:
        gc.enable()
