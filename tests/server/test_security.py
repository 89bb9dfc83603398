"""Requests that mean harm: nothing is served that should not be, nothing is lost, and the server goes on."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Running, new_home, rows, uploaded

BOUNDARY = "frontier"


@pytest.fixture(scope="module")
def strict(tiny_model: str, shared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with small limits and little patience."""
    home = new_home(tmp_path_factory.mktemp("strict") / "home", shared_models)
    limits = "max_file_bytes = 100000\nmax_part_bytes = 50000\nmax_upload_bytes = 200000\nmax_body_bytes = 4096\n"
    running = Running(
        home, "--model", f"tiny={tiny_model}", settings=f"{limits}body_patience_s = 1.0\nmax_connections = 40\n"
    )
    yield running
    assert running.process.poll() is None
    running.stop()


def contents(server: Running) -> set[str]:
    folder = server.home / "server" / "contents"
    return set(os.listdir(folder)) if folder.is_dir() else set()


def multipart(*parts: bytes, end: bytes = b"--frontier--\r\n") -> bytes:
    return b"".join(b"--frontier\r\n" + part + b"\r\n" for part in parts) + end


def part(name: str, content: bytes, filename: str | None = None, more: str = "") -> bytes:
    about = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return f"{about}\r\n{more}\r\n".encode() + content


PURPOSE = part("purpose", b"fine-tune")
FILE = part("file", rows(1), "a.jsonl")


def post(server: Running, body: bytes, path: str = "/v1/files", boundary: str = BOUNDARY) -> httpx.Response:
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return httpx.post(server.url + path, content=body, headers=headers)


@pytest.mark.parametrize(
    "name",
    [
        *("../../etc/passwd", "/etc/passwd", "..\\..\\x", "a/../../b.jsonl", "con", "x\x00y", "%2e%2e%2fx", "~/x"),
        *("a" * 5000, "\u202egpj.exe", "<script>alert(1)</script>.jsonl", "server.sqlite3", "'; DROP TABLE files; --"),
    ],
)
def test_a_files_name_is_never_a_path(server: Running, name: str) -> None:
    before = contents(server)
    answer = post(server, multipart(PURPOSE, part("file", rows(1), name)))
    if answer.status_code == 200:
        made = answer.json()
        assert contents(server) - before == {made["id"]}
        assert len(made["filename"]) <= 255
        page = httpx.get(f"{server.url}/")
        assert "<script>alert" not in page.text
    else:
        assert answer.status_code == 400
        assert contents(server) == before
    assert not (server.home.parent / "x").exists()


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/files/../../server.sqlite3", "/v1/files/..%2f..%2fserver.sqlite3/content", "/v1/files/%2e%2e/content"),
        *("/v1/files/lock/content", "/v1/files/x%00/content", "/v1/files/{}/../lock/content", "/v1/models/..%2f..%2f"),
        *("/v1/models//etc/passwd", "/v1/models/ft:..:..:..:../../x", "/v1/models/ft:tiny:acme::x:ckpt-step-../../x"),
        *("/v1/models/ft:tiny:acme::x:ckpt-step-9999999999", "/jobs/../server.sqlite3", "/jobs/..%2f..%2f", "//etc"),
        *("/v1/fine_tuning/jobs/..%2f..%2fruns/events", "/static/../app.py", "/jobs/%00/results.csv", "/v1/files/*"),
    ],
)
def test_a_path_reaches_no_file(server: Running, client: openai.OpenAI, path: str) -> None:
    path = path.replace("{}", uploaded(client, rows(1)))
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:  # a client would tidy the path
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.split(b" ")[1] in (b"404", b"400"), answer[:200]
    assert b"SQLite" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (multipart(FILE), BOUNDARY),
        (multipart(PURPOSE), BOUNDARY),
        (multipart(PURPOSE, FILE, FILE), BOUNDARY),
        (multipart(PURPOSE, PURPOSE, FILE), BOUNDARY),
        (multipart(PURPOSE, FILE, part("other", b"x", "b.jsonl")), BOUNDARY),
        (multipart(PURPOSE, FILE, part("other", b"x")), BOUNDARY),
        (multipart(PURPOSE, FILE, part("purpose[", b"x")), BOUNDARY),
        (multipart(PURPOSE, part("file", rows(1))), BOUNDARY),  # no filename
        (multipart(PURPOSE, part("file", rows(1), "a", "Content-Transfer-Encoding: base64\r\n")), BOUNDARY),
        (multipart(PURPOSE, FILE, end=b""), BOUNDARY),
        (multipart(PURPOSE, FILE)[:-9], BOUNDARY),
        (multipart(PURPOSE, FILE), "other"),
        (multipart(PURPOSE, FILE), ""),
        (multipart(PURPOSE, FILE), "f" * 5000),
        (multipart(*(part(f"f{number}", b"x") for number in range(50)), FILE), BOUNDARY),
        (multipart(PURPOSE, part("x", b"y" * 10_000), FILE), BOUNDARY),
        (multipart(part("purpose", b"fine-tune", more="X: " + "y" * 100_000 + "\r\n"), FILE), BOUNDARY),
        (multipart(part("purpose", b"fine-tune", more="X: y\r\n" * 5000), FILE), BOUNDARY),
        (multipart(b"\r\n", PURPOSE, FILE), BOUNDARY),
        (multipart(b'Content-Disposition: attachment; name="file"; filename="x"\r\n\r\nx', PURPOSE), BOUNDARY),
        (b"", BOUNDARY),
        (b"\x00" * 1000, BOUNDARY),
        (b"--frontier" * 1000, BOUNDARY),
    ],
)
def test_surprises_in_a_multipart_body_leave_nothing(server: Running, body: bytes, boundary: str) -> None:
    before = contents(server)
    answer = post(server, body, boundary=boundary)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert contents(server) == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mangled_body_breaks_the_server(server: Running, data: st.DataObject) -> None:
    whole = multipart(PURPOSE, FILE)
    at = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, 30))
    body = whole[:at] + data.draw(st.binary(max_size=30)) + whole[at + length :]
    before = contents(server)
    answer = post(server, body)
    assert answer.status_code in (200, 400), answer.text
    assert len(contents(server) - before) == (answer.status_code == 200)


def test_bodies_above_the_limits_are_refused_while_they_come(strict: Running) -> None:
    client = strict.client()
    before = contents(strict)
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("a.jsonl", rows(5000)), purpose="fine-tune")
    assert (refused.value.status_code, refused.value.code) == (413, "file_too_large")  # type: ignore[attr-defined]

    def endless() -> Iterator[bytes]:
        yield multipart(PURPOSE, end=b"") + b"--frontier\r\n" + part("file", b"", "a.jsonl")
        while True:
            yield b"x" * 65536

    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = httpx.post(f"{strict.url}/v1/files", content=endless(), headers=headers)  # its length is not said
    assert answer.status_code == 413
    upload = client.uploads.create(filename="a", purpose="fine-tune", bytes=100_000, mime_type="text/jsonl").id
    with pytest.raises(openai.APIStatusError) as refused:
        client.uploads.parts.create(upload, data=b"x" * 60_000)
    assert refused.value.status_code == 413
    with pytest.raises(openai.BadRequestError, match="at most 200,000 bytes"):
        client.uploads.create(filename="a", purpose="fine-tune", bytes=300_000, mime_type="text/jsonl")
    for _ in range(5):
        client.uploads.parts.create(upload, data=b"x" * 50_000)
    with pytest.raises(openai.BadRequestError, match="more parts than its bytes need"):
        client.uploads.parts.create(upload, data=b"x" * 10_000)
    answer = httpx.post(f"{strict.url}/v1/fine_tuning/jobs", content=b'{"model": "' + b"x" * 5000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    left = {name for name in contents(strict) - before if not name.startswith("part_")}
    assert left == set()


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/fine_tuning/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        b"Content-Type: multipart/form-data; boundary=frontier\r\n\r\n--frontier",
        b"GET / HTTP/1.1\r\nHost: local",
        b"",
    ],
)
def test_slow_clients_are_let_go(strict: Running, head: bytes) -> None:
    host, port = strict.url.removeprefix("http://").split(":")
    began = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(head)
        answer = b"".join(iter(lambda: slow.recv(65536), b""))
    assert 0.5 < time.monotonic() - began < 10
    assert answer == b"" or b" 408 " in answer.split(b"\r\n")[0]


def test_a_connection_that_drips_is_let_go_and_one_that_idles_between_requests_is_not(strict: Running) -> None:
    host, port = strict.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        began = time.monotonic()
        for _ in range(100):
            try:
                slow.sendall(b" ")
            except OSError:
                break
            slow.settimeout(0.1)
            try:
                if slow.recv(65536) is not None:
                    break
            except TimeoutError:
                continue
        assert time.monotonic() - began < 10
    with httpx.Client(base_url=strict.url) as client:
        assert client.get("/v1/models").status_code == 200
        time.sleep(1.5)
        assert client.get("/v1/models").status_code == 200


def test_more_connections_than_allowed_are_turned_away_and_later_served(strict: Running) -> None:
    host, port = strict.url.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port))) for _ in range(60)]
    try:
        assert httpx.get(f"{strict.url}/v1/models").status_code == 503
    finally:
        for one in held:
            one.close()
    time.sleep(0.3)
    assert httpx.get(f"{strict.url}/v1/models").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"x"', b'{"model": "tiny", "model": "tiny"}', b'{"model": NaN}', b"\xff\xfe"),
        *(
            b"[" * 100_000,
            b'{"a":' * 3000 + b"1" + b"}" * 3000,
            b'{"seed": ' + b"9" * 5000 + b"}",
            b'{"model": "\\ud800"}',
        ),
        json.dumps({"model": "tiny", "training_file": "x", "metadata": {"a": 1}}).encode(),
        json.dumps({"model": "x" * 600, "training_file": "x"}).encode(),
        json.dumps({"model": "tiny", "training_file": {"$ne": ""}}).encode(),
        json.dumps({"model": "tiny", "training_file": "' OR 1=1 --"}).encode(),
        json.dumps({"model": "ft:' OR 1=1 --", "training_file": "x"}).encode(),
    ],
)
def test_malformed_json_is_told_and_does_nothing(server: Running, client: openai.OpenAI, body: bytes) -> None:
    before = len(client.fine_tuning.jobs.list().data)
    answer = httpx.post(f"{server.url}/v1/fine_tuning/jobs", content=body, timeout=60)
    assert answer.status_code in (400, 404), answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert len(client.fine_tuning.jobs.list().data) == before


def test_faults_of_http_itself_end_the_connection_only(server: Running) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    tricks = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /v1/files HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    )
    for trick in tricks:
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            try:
                raw.sendall(trick)
                raw.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: raw.recv(65536), b""))
            except OSError:  # The server hung up: reset while sending, or no longer connected when the sender ends.
                answer = b""
        assert answer == b"" or answer.split(b" ")[1] in (b"400", b"403", b"431", b"414"), (trick[:80], answer[:200])
    assert httpx.get(f"{server.url}/v1/models").status_code == 200


def test_answers_cannot_be_taken_for_something_else(server: Running, client: openai.OpenAI) -> None:
    page = b"<script>alert(document.domain)</script>"
    made = uploaded(client, page, "page.html")
    answer = httpx.get(f"{server.url}/v1/files/{made}/content")
    assert answer.content == page
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    for path in ("/", "/v1/models", f"/v1/files/{made}/content", "/nothing"):
        got = httpx.get(server.url + path)
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["x-request-id"].startswith("req_")
        assert "server" not in got.headers


def test_a_full_disk_loses_nothing(tiny_model: str, shared_models: Path, tmp_path: Path) -> None:
    """The disk is full from the server's point of view: its files may not grow above 200 kB."""
    import resource
    import subprocess
    from typing import cast

    home = new_home(tmp_path / "full", shared_models)
    limited = cast(Any, subprocess.Popen)

    def start(*arguments: Any, **options: Any) -> Any:
        return limited(
            *arguments, **options, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        )

    patched = pytest.MonkeyPatch()
    patched.setattr(subprocess, "Popen", start)
    try:
        running = Running(home, "--model", f"tiny={tiny_model}")
    finally:
        patched.undo()
    client = running.client()
    kept = uploaded(client, rows(10))
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("a.jsonl", rows(4000)), purpose="fine-tune")
    assert (refused.value.status_code, refused.value.code) == (507, "disk_full")  # type: ignore[attr-defined]
    assert contents(running) == {kept}
    assert client.files.content(kept).read() == rows(10)
    assert uploaded(client, rows(5))
    running.stop()
