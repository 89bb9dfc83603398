"""Candidates that train at Together and Fireworks, and the batch API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftkit import runs
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.errors import StorageError
from ftkit.migration import Certificate
from tests.hosts.fireworks_host import FireworksFake
from tests.hosts.serving import serving
from tests.hosts.together_host import TogetherFake

from .conftest import WORDS, Account
from .test_migrate import LUNA, migrate


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are polled without a wait."""
    monkeypatch.setattr(RetryPolicy, "__init__", _quick(RetryPolicy.__init__))
    monkeypatch.setattr("ftkit.runs.run._POLL_S", 0.0)


def _quick(init: Any) -> Any:
    def quick(self: RetryPolicy, **options: Any) -> None:
        init(self, **({"poll_s": (0.0, 0.0), "settle_s": 0.0, "sleep": lambda _: None} | options))

    return quick


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "migration"


def right(text: str) -> str:
    return WORDS[int(text.rpartition(" ")[2]) % 2]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> Iterator[TogetherFake]:
    with serving(TogetherFake()) as fake:
        assert isinstance(fake, TogetherFake)
        fake.answers = right
        monkeypatch.setenv("TOGETHER_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("TOGETHER_API_KEY", fake.key)
        yield fake
    assert fake.violations == []


@pytest.fixture
def fireworks(monkeypatch: pytest.MonkeyPatch) -> Iterator[FireworksFake]:
    with serving(FireworksFake()) as fake:
        assert isinstance(fake, FireworksFake)
        fake.answers = right
        monkeypatch.setenv("FIREWORKS_BASE_URL", fake.url)
        monkeypatch.setenv("FIREWORKS_API_KEY", fake.key)
        monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", "acme")
        yield fake
    assert fake.violations == []


TOGETHER = "together:Qwen/Qwen3-8B"
FIREWORKS = "fireworks:accounts/fireworks/models/qwen3-8b"


@pytest.mark.slow
def test_candidates_at_together_and_fireworks_are_trained_once_asked_and_certified(
    account: Account, together: TogetherFake, fireworks: FireworksFake, folder: Path
) -> None:
    command = [account.job, "--to", TOGETHER, "--to", FIREWORKS, "--margin", "0.2", "--yes"]
    done = migrate(*command, folder=folder)
    assert done.exit_code == 0, done.output
    certificate = Certificate.load(folder / "certificate.json")
    assert [(one.name, one.status) for one in certificate.candidates] == [
        (TOGETHER, "CERTIFIED"),
        (FIREWORKS, "CERTIFIED"),
    ]
    assert [one.value for one in certificate.candidates] == [1.0, 1.0]
    assert {run.record.backend for run in runs.all()} == {"together", "fireworks"}
    assert (len(together.jobs), len(fireworks.jobs)) == (1, 1)
    (job,) = together.jobs.values()
    assert job["n_epochs"] == 1
    calls = len(together.calls), len(fireworks.calls)
    again = migrate(*command, folder=folder)
    assert again.exit_code == 0, again.output
    assert (len(together.calls), len(fireworks.calls)) == calls
    written = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())
    assert not any(fake.key in written for fake in (account.fake, together, fireworks))


def test_a_host_that_refuses_does_not_lose_the_other(
    account: Account, together: TogetherFake, fireworks: FireworksFake, folder: Path
) -> None:
    together.invalid = "line 3: no messages"
    command = [account.job, "--to", TOGETHER, "--to", FIREWORKS, "--margin", "0.2", "--yes"]
    done = migrate(*command, folder=folder)
    assert done.exit_code == 0, done.output
    certificate = Certificate.load(folder / "certificate.json")
    assert [one.status for one in certificate.candidates] == ["FAILED", "CERTIFIED"]
    assert "line 3: no messages" in str(certificate.candidates[0].problem)
    together.invalid = ""
    assert migrate(*command, folder=folder).exit_code == 0
    certificate = Certificate.load(folder / "certificate.json")
    assert [one.status for one in certificate.candidates] == ["CERTIFIED", "CERTIFIED"]
    assert len(fireworks.jobs) == 1


def test_a_job_that_was_created_before_the_run_failed_is_not_created_again(
    account: Account, together: TogetherFake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise StorageError("the disk is full")

    command = [account.job, "--to", TOGETHER, "--margin", "0.2", "--yes"]
    with monkeypatch.context() as patched:
        patched.setattr("ftkit.backends.hosted.job_submission.JobSubmission._attach", full)
        migrate(*command, folder=folder)
    assert len(together.jobs) == 1
    assert [run.state for run in runs.all()] == ["failed"]
    done = migrate(*command, folder=folder)
    assert done.exit_code == 0, done.output
    assert len(together.jobs) == 1
    (candidate,) = Certificate.load(folder / "certificate.json").candidates
    assert candidate.status == "CERTIFIED"


def test_the_old_model_is_asked_by_batch(account: Account, folder: Path) -> None:
    account.fake.answers = right
    command = [account.job, "--to", LUNA, "--margin", "0.2", "--yes", "--batch"]
    done = migrate(*command, folder=folder)
    assert done.exit_code == 0, done.output
    assert "by batch" in done.stderr
    assert account.of(account.model) == {}  # none of them one by one
    batches = [call for call in account.fake.calls if call.method == "POST" and call.path.endswith("/batches")]
    assert len(batches) == 1
    assert set(account.of("gpt-6-luna").values()) == {1}
    certificate = Certificate.load(folder / "certificate.json")
    assert certificate.replaced.value == 1.0
    assert "batch" in str(certificate.replaced.cost_source)
