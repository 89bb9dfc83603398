"""Who may ask: keys, projects, and requests that pages elsewhere make."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from ftkit.files import home
from ftkit.server.auth import ApiKeys
from ftkit.server.state import State
from ftkit.store import Store

from .conftest import Running, new_home, rows, uploaded


def keys_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ftkit", "serve", "keys", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def guarded(tiny_model: str, shared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server on all addresses, and keys of two projects."""
    folder = new_home(tmp_path_factory.mktemp("guarded") / "home", shared_models)
    keys = ApiKeys(State(Store(folder)))
    made = {project: keys.create(project) for project in ("red", "blue")}
    running = Running(folder, "--model", f"tiny={tiny_model}", "--host", "0.0.0.0")
    running.url = running.url.replace("0.0.0.0", "127.0.0.1")
    yield running, made, keys
    running.stop()


def test_keys_are_made_listed_and_revoked_on_the_command_line() -> None:
    made = keys_command("create", "red")
    secret = made.stdout.strip()
    assert secret.startswith("sk-ftkit-")
    listed = keys_command("list").stdout.split()
    assert listed[1] == "red"
    # Nothing of the key is kept: neither it nor a part that would help to guess it.
    kept = b"".join(path.read_bytes() for path in home().glob("server.sqlite3*"))
    assert secret.removeprefix("sk-ftkit-")[:8].encode() not in kept
    keys = ApiKeys(State(Store()))
    assert keys.project_of(secret) == "red"
    assert keys_command("revoke", listed[0]).returncode == 0
    assert keys.project_of(secret) is None
    assert not keys.required()
    refused = keys_command("revoke", listed[0])
    assert (refused.returncode, "there is no key" in refused.stderr) == (2, True)
    assert keys_command("create", "../x").returncode == 2


def test_another_address_than_loopback_needs_keys(tiny_model: str, shared_models: Path, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="needs API keys; create one with `ftkit serve keys create"):
        Running(new_home(tmp_path / "open", shared_models), "--model", f"tiny={tiny_model}", "--host", "0.0.0.0")


def test_wrong_keys_open_nothing(guarded: Any) -> None:
    running, made, _ = guarded
    for key in ("wrong", made["red"][:-1], made["red"] + "x", made["red"].upper()):
        with pytest.raises(openai.AuthenticationError) as refused:
            running.client(key).models.list()
        assert refused.value.code == "invalid_api_key"
    basic = base64.b64encode(f"me:{made['red']}".encode()).decode()
    tricks: list[tuple[list[tuple[str, str]], int]] = [
        ([], 401),
        ([("authorization", "")], 401),
        ([("authorization", "Bearer")], 401),
        ([("authorization", f"Token {made['red']}")], 401),
        ([("authorization", f"Basic {made['red']}")], 401),
        ([("authorization", "Basic =?=")], 401),
        ([("authorization", "Bearer x"), ("authorization", f"Bearer {made['red']}")], 401),
        ([("authorization", f"Bearer {made['red']}\x00")], 401),
        ([("x-api-key", made["red"])], 401),
        ([("authorization", f"Bearer {made['red']}"), ("openai-project", "blue")], 401),
        ([("authorization", f"Bearer {made['red']}"), ("openai-project", "red")], 200),
        ([("authorization", f"bearer   {made['red']}")], 200),
        ([("authorization", f"Basic {basic}")], 200),
        ([("authorization", f"Bearer {made['red']}"), ("origin", "https://elsewhere.example")], 403),
        ([("authorization", f"Bearer {made['red']}"), ("sec-fetch-site", "cross-site")], 403),
    ]
    for headers, status in tricks:
        for path in ("/v1/models", "/", "/jobs/live", "/v1/nothing"):
            try:
                answer = httpx.get(running.url + path, headers=headers)
            except httpx.LocalProtocolError:  # the client itself refuses to send it
                continue
            wanted = 404 if status == 200 and path == "/v1/nothing" else status
            assert answer.status_code == wanted, (headers, path, answer.text)
            if status == 401:
                assert answer.headers["www-authenticate"].startswith("Basic")
                assert made["red"] not in answer.text


def test_projects_do_not_see_each_other(guarded: Any) -> None:
    running, made, keys = guarded
    red, blue = running.client(made["red"]), running.client(made["blue"])
    file = uploaded(red, rows(1))
    upload = red.uploads.create(filename="a.jsonl", purpose="fine-tune", bytes=5, mime_type="text/jsonl").id
    job = red.fine_tuning.jobs.create(model="tiny", training_file=uploaded(red, b"{}\n")).id
    assert list(blue.files.list()) == []
    assert list(blue.fine_tuning.jobs.list()) == []
    for look in (
        lambda: blue.files.retrieve(file),
        lambda: blue.files.content(file),
        lambda: blue.files.delete(file),
        lambda: blue.files.list(after=file),
        lambda: blue.uploads.parts.create(upload, data=b"x"),
        lambda: blue.uploads.complete(upload, part_ids=["x"]),
        lambda: blue.uploads.cancel(upload),
        lambda: blue.fine_tuning.jobs.retrieve(job),
        lambda: blue.fine_tuning.jobs.cancel(job),
        lambda: blue.fine_tuning.jobs.list_events(job),
        lambda: blue.fine_tuning.jobs.checkpoints.list(job),
        lambda: blue.fine_tuning.jobs.list(after=job),
    ):
        with pytest.raises(openai.NotFoundError):
            look()
    with pytest.raises(openai.BadRequestError, match="does not exist"):
        blue.fine_tuning.jobs.create(model="tiny", training_file=file)
    page = httpx.get(f"{running.url}/jobs/{job}", headers={"authorization": f"Bearer {made['blue']}"})
    assert page.status_code == 404
    assert red.files.retrieve(file).id == file
    extra = keys.create("red")
    assert running.client(extra).files.retrieve(file).id == file
    keys.revoke(next(key.id for key in keys.all()[::-1] if keys.project_of(extra) and key.project == "red"))


def test_without_keys_only_this_machine_is_answered(server: Running) -> None:
    port = server.url.rpartition(":")[2]
    for host, status in ((f"localhost:{port}", 200), (f"127.0.0.1:{port}", 200), (f"[::1]:{port}", 200)):
        assert httpx.get(f"{server.url}/v1/models", headers={"host": host}).status_code == status
    for host in (f"elsewhere.example:{port}", "localhost.elsewhere.example", "127.0.0.1.nip.io", "[", ""):
        answer = httpx.get(f"{server.url}/v1/models", headers={"host": host})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_host")
    for headers in ({"origin": "https://elsewhere.example"}, {"origin": "null"}, {"sec-fetch-site": "same-site"}):
        answer = httpx.post(f"{server.url}/v1/fine_tuning/jobs", headers=headers, content=b"{}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_origin")
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert httpx.get(server.url, headers=followed).status_code == 200
    assert httpx.post(f"{server.url}/v1/uploads", headers=followed).status_code == 403
