"""What a hostile host or an address with a secret could leak: terminal escapes, passwords, prompts, keys."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import backend_of, registry
from ftkit.backends.fireworks import Fireworks
from ftkit.backends.hosted.redaction import redact
from ftkit.backends.openai_jobs import OpenAIJobs
from ftkit.backends.together import Together
from ftkit.cli.app import app
from ftkit.errors import ConfigError, FtkitError, HostError

from .conftest import QUICK
from .openai_host import OpenAIFake
from .serving import serving

EVIL = "\x1b]0;owned\x07\x1b[2Jbad"
SECRETS = ["http://user:hunter2@127.0.0.1:1/v1", "https://hunter2@example.com/v1", "https://h.example/v1?key=hunter2"]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


def test_escapes_of_a_host_are_shown(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    openai_fake.fails = EVIL
    run = ft.train(ft.SFT(), notes, backend=openai_jobs)
    with pytest.raises(FtkitError) as caught:
        run.wait(progress=False)
    assert "\x1b" not in str(caught.value)
    openai_fake.override = lambda call: (400, {"error": {"message": EVIL, "code": EVIL}}, {"x-request-id": "a"})
    with pytest.raises(HostError) as refused:
        ft.train(ft.SFT(), notes, backend=openai_jobs)
    assert "\x1b" not in str(refused.value)
    assert "owned" in str(refused.value)
    for command in (["show", run.id], ["events", run.id], ["list"], ["show", run.id, "--json"]):
        shown = CliRunner().invoke(app, ["runs", *command])
        assert shown.exit_code == 0, shown.output
        assert "\x1b" not in shown.output
    assert "owned" in CliRunner().invoke(app, ["runs", "events", run.id]).output


def test_escapes_of_an_answer_are_shown(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    registry._created.cache_clear()
    openai_fake.answers = lambda text: EVIL
    shown = CliRunner().invoke(app, ["predict", "openai:gpt-4.1-mini", "text=x"])
    assert "\x1b" not in shown.output, shown.output
    registry._created.cache_clear()


@pytest.mark.parametrize("url", SECRETS)
def test_an_address_with_a_secret_is_refused(url: str, notes: ft.Dataset, home: Path, monkeypatch) -> None:
    for make in (
        lambda: OpenAIJobs("m", base_url=url, api_key="k" * 12),
        lambda: Together("m", base_url=url, api_key="k" * 12),
        lambda: Fireworks("m", account="a", base_url=url, api_key="k" * 12),
        lambda: backend_of(f"compatible:{url}#m"),
        lambda: ft.Model(f"compatible:{url}#m", notes.task),
        lambda: backend_of(f"compatible:{url}"),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 12)
    with pytest.raises(ConfigError, match=r"contains .* and addresses are stored with runs") as caught:
        ft.train(ft.SFT(), notes, backend=OpenAIJobs("gpt-4.1-mini"))
    assert "hunter2" not in str(caught.value)
    assert not any(b"hunter2" in file.read_bytes() for file in home.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000/v1", "ftp://host/v1", "https://", "https://host/v1#m", "http://[::1/v1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no base URL"):
        OpenAIJobs("m", base_url=url, api_key="k" * 12)


def test_a_password_in_an_error_is_removed() -> None:
    assert redact("ProxyError: http://me:hunter2@proxy:3128 said no") == "ProxyError: http://[key]@proxy:3128 said no"


@pytest.mark.parametrize("proxy", ["ftp://me:hunter2@127.0.0.1:1", "http://me:hunter2@[::1"])
def test_a_proxy_that_is_none_is_named_without_its_password(
    proxy: str, notes: ft.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    for make in (
        lambda: ft.Model(OpenAIJobs("m", base_url="https://h.example/v1", api_key="k" * 12), notes.task).predict(
            text="x"
        ),
        lambda: Together("m", base_url="https://h.example/v1", api_key="k" * 12).host(),
    ):
        with pytest.raises(ConfigError, match=r"a proxy of the environment .* cannot be used") as caught:
            make()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_host_takes_nothing_along(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset, status: int
) -> None:
    with serving(OpenAIFake()) as other:
        other.spec = None
        target = {"location": f"{other.url}/v1/chat/completions?secret=1"}
        openai_fake.override = lambda call: (status, {}, dict(target)) if call.method == "POST" else None
        model = ft.Model(openai_jobs, notes.task)
        request = ft.Request([{"role": "user", "content": "my prompt"}])
        (answer,) = model.answer_many([request])
        assert f"was redirected to {other.url}/v1/chat/completions. Nothing was sent there" in answer.error
        (answer,) = asyncio.run(openai_jobs.answerer().answer_many_async([request], ft.Sampling()))
        assert "was redirected to" in answer.error
        with pytest.raises(HostError, match="was redirected"):
            ft.train(ft.SFT(), notes, backend=openai_jobs)
        assert not other.calls


@pytest.mark.parametrize("place", ["together", "fireworks"])
def test_other_hosts_too(place: str, notes: ft.Dataset, home: Path) -> None:
    with serving(OpenAIFake()) as fake, serving(OpenAIFake()) as other:
        fake.spec = other.spec = None
        fake.override = lambda call: (307, {}, {"location": f"{other.url}/x"})
        given = {"base_url": fake.url, "api_key": fake.key, "retry_policy": QUICK}
        where = Together("Qwen/Qwen3.5-9B", **given) if place == "together" else Fireworks("m", account="a", **given)
        with pytest.raises(HostError, match="was redirected"):
            ft.train(ft.SFT(), notes, backend=where)
        assert not other.calls


def test_a_redirect_at_the_same_host_is_followed(
    openai_fake: OpenAIFake, openai_jobs: OpenAIJobs, notes: ft.Dataset
) -> None:
    moved = [True]

    def once(call):
        return (308, {}, {"location": "/v1/chat/completions"}) if moved and moved.pop() else None

    openai_fake.override = once
    openai_fake.answers = lambda text: "red"
    assert ft.Model(openai_jobs, notes.task).predict(text="x") == "red"


def test_openais_own_headers_go_to_openai_only(openai_fake: OpenAIFake, notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    openai_fake.answers = lambda text: "red"
    for name in ("openai", "compatible"):
        openai_fake.calls.clear()
        where = OpenAIJobs("m", profile=name, base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key)
        ft.Model(where, notes.task).predict(text="x")
        sent = {"openai-organization", "openai-project"} & openai_fake.calls[-1].headers.keys()
        assert bool(sent) is (name == "openai")
