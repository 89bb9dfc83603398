from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends import registry
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.openai_jobs import OpenAIJobs

from .openai_host import OpenAIFake
from .serving import serving

QUICK = RetryPolicy(poll_s=(0.0, 0.0), settle_s=0.0, sleep=lambda seconds: None)
"""Waits are counted and not waited."""


@pytest.fixture(autouse=True)
def _no_backend_of_another_test() -> None:
    registry._created.cache_clear()


@pytest.fixture(autouse=True)
def _fakes_charge_as_their_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_CATALOG", str(tmp_path / "fakes.toml"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def openai_fake(home: Path) -> Iterator[OpenAIFake]:
    with serving(OpenAIFake()) as fake:
        yield fake  # type: ignore[misc]


@pytest.fixture
def openai_jobs(openai_fake: OpenAIFake) -> OpenAIJobs:
    return OpenAIJobs("gpt-4.1-mini", base_url=f"{openai_fake.url}/v1", api_key=openai_fake.key, retry_policy=QUICK)


@pytest.fixture
def notes() -> ft.Dataset:
    task = ft.Task("Say which team.", input="{text}", output=ft.ChoiceOutput(choices=("red", "blue")))
    rows = [{"text": f"case {number}", "team": ("red", "blue")[number % 2]} for number in range(12)]
    return ft.Dataset.from_rows(rows, task, target="team")
