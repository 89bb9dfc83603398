"""Planted keys: nowhere, whatever fails, on every path."""

from __future__ import annotations

import asyncio
import logging
from typing import get_args

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import registry
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.openai_jobs.azure_deployment import deploy
from ftkit.backends.openai_jobs.job_import import import_job, tuned_models
from ftkit.backends.together import Together
from ftkit.cli.app import app
from ftkit.errors import FtkitError
from ftkit.evaluation import RequestOptions
from tests.tiny import quick_first

from .conftest import QUICK
from .fireworks_host import FireworksFake
from .openai_host import OpenAIFake
from .serving import Fake, Fault, serving
from .together_host import TogetherFake

FAKES = {"openai": OpenAIFake, "together": TogetherFake, "fireworks": FireworksFake}


def _backend(place: str, fake: Fake) -> HostedBackend:
    given = {"api_key": fake.key, "retry_policy": QUICK}
    if place == "openai":
        return OpenAIJobs("gpt-4.1-mini", base_url=f"{fake.url}/v1", **given)
    if place == "together":
        return Together("Qwen/Qwen3.5-9B", base_url=fake.url, **given)
    return Fireworks("qwen3-8b", account="acme", base_url=fake.url, **given)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


def _told(error: BaseException | None) -> str:
    """All that an error and those behind it say."""
    said = ""
    while error is not None:
        said += f"{error} {error!r} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__
    return said


@pytest.mark.parametrize("fault", quick_first([*get_args(Fault), "401", "echo"], "401", "echo", "truncate"))
@pytest.mark.parametrize("place", FAKES)
def test_a_key_is_in_no_error_log_event_or_file(place, fault, notes, home, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, logger="ftkit")
    with serving(FAKES[place]()) as fake:
        where = _backend(place, fake)
        run = ft.train(ft.SFT(), notes, backend=where).wait(progress=False)
        if fault == "401":
            fake.override = lambda call: (
                401,
                {"error": {"message": f"wrong: {call.headers.get('authorization')}"}},
                {},
            )
        elif fault == "echo":  # a host that puts what it was sent into an answer that is no JSON
            fake.override = lambda call: (200, f"<p>{call.headers}</p>".encode(), {"content-type": "text/html"})
        else:
            fake.fault = lambda call: fault
        model = ft.Model(where, notes.task)
        attempts = [
            lambda: ft.train(ft.SFT(), notes.take(11), backend=where).wait(progress=False, timeout_s=0.05),
            lambda: run.download(tmp_path / "weights"),
            lambda: run.pause(),
            lambda: run.cancel(),
            lambda: model.predict(text="x"),
            lambda: asyncio.run(model.apredict(text="x")),
            lambda: ft.evaluate(model, notes, batch=True, progress=False),
            lambda: str(ft.plan(ft.SFT(), notes, where)),
            lambda: str(ft.evaluate(model, notes, probes=None, progress=False, asking=RequestOptions(attempts=1))),
        ]
        if place == "openai":
            attempts += [lambda: tuned_models(where), lambda: import_job(where, "ftjob-1", tmp_path / "made")]
        said = []
        for attempt in attempts:
            try:
                said.append(repr(attempt()))
            except FtkitError as error:
                said.append(_told(error))
        said += [caplog.text, repr(where), repr(where.host()), repr(model)]
        said += [repr(event) for one in ft.runs.all() for event in one._store.events(one.id)]
    assert fake.key not in " ".join(said)
    for file in [*home.rglob("*"), *tmp_path.rglob("*")]:
        if file.is_file() and "models" not in file.parts:
            assert fake.key.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "fault", [None, *(pytest.param(fault, marks=pytest.mark.slow) for fault in ("500_before", "not_json"))]
)  # the others wait for retries
def test_no_command_shows_a_key(openai_fake, openai_jobs, notes, monkeypatch, tmp_path, fault):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    monkeypatch.setattr("ftkit.backends.hosted.backend.RetryPolicy", lambda: QUICK)
    registry._created.cache_clear()
    openai_fake.answers = lambda text: "red"
    notes.task.to_yaml(tmp_path / "task.yaml")
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "team": "red"}\n' * 12)
    run = ft.train(ft.SFT(), notes, backend=openai_jobs)
    rows = ["--data", str(tmp_path / "rows.jsonl"), "--target", "team", "--task", str(tmp_path / "task.yaml")]
    openai_fake.fault = lambda call: fault
    if fault is None:
        openai_fake.override = lambda call: (
            401,
            {"error": {"message": f"no: {call.headers.get('authorization')}"}},
            {},
        )
    for arguments in (
        ["freeze", "openai:ft:gpt-4.1-mini:a::b", *rows, "-o", str(tmp_path / "frozen.json")],
        ["freeze", "openai:ft:gpt-4.1-mini:a::b", *rows, "-o", str(tmp_path / "frozen2.json"), "--batch"],
        ["plan", *rows, "--backend", "openai:gpt-4.1-mini", "--no-lint"],
        ["import", "openai"],
        ["runs", "show", run.id],
        ["runs", "download", run.id, str(tmp_path / "weights")],
        ["predict", "openai:gpt-4.1-mini", "--task", str(tmp_path / "task.yaml"), "text=x"],
    ):
        done = CliRunner().invoke(app, arguments)
        assert openai_fake.key not in done.output + _told(done.exception), arguments
    for file in tmp_path.rglob("*"):
        if file.is_file() and "models" not in file.parts:
            assert openai_fake.key.encode() not in file.read_bytes(), file
    registry._created.cache_clear()


def test_the_token_for_azures_control_plane_is_told_to_nobody(home):
    with serving(OpenAIFake()) as fake:
        fake.spec = None
        fake.override = lambda call: (403, {"error": {"message": f"no: {call.headers}", "code": "x"}}, {})
        with pytest.raises(FtkitError) as caught:
            deploy("m", "d", subscription="s", resource_group="g", account="a", token=fake.key, url=fake.url)
    assert fake.key not in _told(caught.value)
