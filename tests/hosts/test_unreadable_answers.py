"""Answers of hosts that are damaged, of other types than they should be, without end, or that repeat the key."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.hosted import bounded_body
from ftkit.backends.hosted.answer_reading import cleaned
from ftkit.backends.hosted.http import Http
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.openai_jobs.embeddings import OpenAIEmbedder
from ftkit.backends.openai_jobs.sdk import Sdk
from ftkit.backends.together import Together
from ftkit.errors import FtkitError, HostError
from ftkit.evaluation import RequestOptions
from ftkit.store import Store, StoreWarning
from tests.disks import filled, small_disk

from .conftest import QUICK
from .fireworks_host import FireworksFake
from .openai_host import OpenAIFake
from .serving import Call, Fake, Reply, serving
from .together_host import TogetherFake

VALUES = [
    *(None, True, -1, 10**400, 1e308, float("nan"), "", "x", "\x1b[2J\ud800", "9" * 5000, "../x?y", -1.5),
    *([], ["x"], [None], {}, {"a": "b"}),
]
DAMAGED = {
    "UTF-16": b'\xff\xfe{"id"',
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a":' * 50_000,
    "a number of 6,000 digits": b'{"id":' + b"1" * 6000 + b"}",
    "half a character": b'{"id": "\\ud800", "object": "x"}',
    "not UTF-8": b'{"id": "a\xff"}',
    "null": b"null",
    "a list": b"[]",
    "nothing": b"",
    "a page": b"<html>",
}


def mutated(value: Any, chance: random.Random) -> Any:
    """The answer with some values of other types, and some missing."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if chance.random() > 0.03}
        return {
            name: chance.choice(VALUES) if chance.random() < 0.06 else mutated(item, chance)
            for name, item in kept.items()
        }
    if isinstance(value, list):
        return [chance.choice(VALUES) if chance.random() < 0.05 else mutated(item, chance) for item in value]
    return value


PLACES: dict[str, tuple[type[Fake], Callable[[Fake], Any]]] = {
    "openai": (
        OpenAIFake,
        lambda fake: OpenAIJobs("gpt-4.1-mini", base_url=f"{fake.url}/v1", api_key=fake.key, retry_policy=QUICK),
    ),
    "together": (
        TogetherFake,
        lambda fake: Together("Qwen/Qwen3.5-9B", base_url=f"{fake.url}/v1", api_key=fake.key, retry_policy=QUICK),
    ),
    "fireworks": (
        FireworksFake,
        lambda fake: Fireworks("qwen3-8b", account="acme", base_url=fake.url, api_key=fake.key, retry_policy=QUICK),
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("seed", [1, 2])
def test_answers_of_other_types_end_in_an_error_of_ftkit(
    place: str, seed: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    kind, make = PLACES[place]
    chance = random.Random(seed)
    task = ft.Task("Say which team.", input="{text}", output=ft.ChoiceOutput(choices=("red", "blue")))

    def tolerated(action: Callable[[], Any]) -> Any:
        try:
            return action()
        except FtkitError:
            return None

    with serving(kind()) as fake:
        fake.spec = None
        real = fake.answer

        def answer(call: Call) -> Reply:
            try:
                status, body, headers = real(call)
            except (KeyError, StopIteration):  # an id that the fake has mutated itself
                return 404, {"error": {"message": "no such thing"}}, {}
            if isinstance(body, bytes) or chance.random() > 0.3:
                return status, body, headers
            if chance.random() < 0.2:
                return status, chance.choice([*DAMAGED.values()]), headers
            return status, mutated(body, chance), headers

        fake.answer = answer  # type: ignore[method-assign]
        where = make(fake)
        for number in range(2):
            rows = [{"text": f"{number} {row}", "team": "red"} for row in range(10)]
            data = ft.Dataset.from_rows(rows, task, target="team")
            known = {run.id for run in ft.runs.all()}
            tolerated(lambda data=data: ft.train(ft.SFT(epochs=1), data, backend=where))
            for run in ft.runs.all():
                run._backend = where
                for _ in range(6 if run.id not in known else 1):
                    where.poll_schedule.reset()
                    tolerated(lambda run=run: run.state)
                for look in (lambda run=run: run.events(), lambda run=run: run.model, lambda run=run: run.cancel()):
                    tolerated(look)


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_answer_is_named(openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset, body) -> None:
    openai_fake.override = lambda call: (200, body, {})
    (answer,) = ft.Model(openai_jobs, notes.task).answer_many([ft.Request([{"role": "user", "content": "x"}])])
    assert answer.error
    sdk = Sdk("openai", f"{openai_fake.url}/v1", openai_fake.key)
    with pytest.raises(HostError):
        OpenAIEmbedder(sdk, "m", QUICK)(["x"])
    if not body.startswith(b'{"id": "\\'):  # an object; the host checks its id
        with pytest.raises(HostError):
            Http("together", openai_fake.url, openai_fake.key).json("reading", "GET", "/v1/fine_tuning/jobs")


def test_a_key_that_a_host_repeats_is_not_stored(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    openai_fake.fails = f"the job was sent with {openai_fake.key}, which may not train"
    run = ft.train(ft.SFT(), notes, backend=openai_jobs)
    with pytest.raises(FtkitError) as caught:
        run.wait(progress=False)
    assert openai_fake.key not in str(caught.value)
    assert "[key]" in str(caught.value)
    assert any("[key]" in event.data.get("message", "") for event in Store().events(run.id))
    stored = [file for file in home.rglob("*") if file.is_file() and openai_fake.key.encode() in file.read_bytes()]
    assert not stored


def test_an_answer_is_kept_as_it_is(openai_fake: OpenAIFake, notes: ft.Dataset) -> None:
    openai_fake.key = "none"
    openai_fake.answers = lambda text: "none"
    where = OpenAIJobs("m", base_url=f"{openai_fake.url}/v1", api_key="none", retry_policy=QUICK)
    assert ft.Model(where, ft.Task("Say none.", input="{text}")).predict(text="x") == "none"
    assert cleaned("none", "none") == "none"


def test_half_a_character_in_an_answer_does_not_lose_the_report(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset, tmp_path: Path
) -> None:
    openai_fake.answers = lambda text: "red \ud83d"
    report = ft.evaluate(ft.Model(openai_jobs, notes.task), notes.split(test=4, seed=1)[1])
    report.save(tmp_path / "report.json")
    assert "red \\\\ud83d" in (tmp_path / "report.json").read_text(encoding="utf-8")


def test_a_strange_event_does_not_hide_the_others(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)
    openai_fake.spec = None
    strange = {"id": "ftevent-x", "message": "Step 1/2: training loss=--", "level": ["x"], "data": {"step": "one"}}
    real = openai_fake._event

    def event(job: dict[str, Any], message: str, **options: Any) -> None:
        real(job, message, **options)
        if strange not in openai_fake.events[job["id"]]:
            openai_fake.events[job["id"]].append(strange)

    openai_fake._event = event  # type: ignore[method-assign]
    run = ft.train(ft.SFT(), notes, backend=openai_jobs).wait(progress=False)
    events = run.events()
    assert sum(event.kind == "step" for event in events) == 2
    assert any("got an answer that ftkit cannot read" in event.data.get("message", "") for event in events)


@contextmanager
def sending(head: bytes, pieces: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """A host that sends a body piece by piece."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(head)
                    for piece in pieces():
                        connection.sendall(piece)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def without_end(piece: bytes, pause: float = 0.0) -> Callable[[], Iterator[bytes]]:
    waiting = threading.Event()

    def pieces() -> Iterator[bytes]:
        while True:
            yield piece
            waiting.wait(pause)

    return pieces


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("how", ["large", "slow", "compressed"])
def test_a_body_without_end_ends(how: str, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bounded_body, "_MAX_BYTES", 2**20)
    monkeypatch.setattr(bounded_body, "_MAX_COMPRESSED_BYTES", 2**10)
    monkeypatch.setattr(bounded_body, "_MAX_SECONDS", 0.2)
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n" % status
    bomb = gzip.compress(b" " * 4 * 2**20)
    pieces = {"large": without_end(b" " * 65536), "slow": without_end(b" ", 0.05), "compressed": lambda: iter([bomb])}
    if how == "compressed":
        head += b"content-encoding: gzip\r\ncontent-length: %d\r\n" % len(bomb)
    with sending(head + b"\r\n", pieces[how]) as url:
        problem = "is not complete after" if how == "slow" else "is larger than"
        with pytest.raises(HostError, match=problem):
            Http("together", url, "k" * 20).json("reading", "GET", "/x")
        sdk = Sdk("openai", url, "k" * 20)
        with pytest.raises(HostError, match=problem) as caught:
            sdk.call("reading", lambda: sdk.client.models.list())
        assert caught.value.unsure
        if status == 500:  # an error, which goes into memory although a file was asked for
            with pytest.raises(HostError, match=problem):
                Http("together", url, "k" * 20).download("loading", "/x", tmp_path / "x", {})


def test_bodies_are_asked_for_as_they_are(openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset) -> None:
    openai_fake.answers = lambda text: "red"
    assert ft.Model(openai_jobs, notes.task).predict(text="x") == "red"
    assert openai_fake.calls[-1].headers["accept-encoding"] == "identity"
    assert json.loads(openai_fake.calls[-1].body)["model"] == "gpt-4.1-mini"


def test_a_full_disk_does_not_end_an_evaluation(
    openai_fake: OpenAIFake,
    openai_jobs: OpenAIJobs,
    notes: ft.Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openai_fake.answers = lambda text: "red"
    with small_disk(tmp_path / "disk", 1) as disk:
        monkeypatch.setenv("FTKIT_HOME", str(disk))
        with filled(disk), pytest.warns(StoreWarning, match="the disk is full. If the evaluation is interrupted"):
            report = ft.evaluate(ft.Model(openai_jobs, notes.task), notes, asking=RequestOptions(resume=True))
    assert len(report.rows) == len(notes)
    assert all(row.text == "red" for row in report.rows)
    report.save(tmp_path / "report.json")
