"""Scans whose parts travel through files, as on a cluster. The workers are objects of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ftkit as ft
from ftkit.backends.ray.jobs_api import JobStatus
from ftkit.backends.ray.run_folder import run_files
from ftkit.errors import FtkitError
from ftkit.linting import cluster_scan
from ftkit.linting.cluster_job import Scanner, WorkerError, scan_all
from ftkit.linting.finding import RuleFinding, RuleFindings
from ftkit.linting.registry import lint_rules
from ftkit.linting.scan import ScanResult
from ftkit.linting.scan_files import result_from_bytes, result_to_bytes
from ftkit.linting.variant_counter import VariantCounter
from tests.linting.planted import BASES
from tests.linting.test_counts import SLOW, planted_rows

_LONG = ("visits", "plain chats", "chats")
"""Rows that take several seconds."""


class _LostError(Exception):
    """A worker has died."""


class _Worker:
    """A worker with the parts of an actor's handle that are used; it is lost at its first part."""

    def __init__(self, storage: str, name: str, *, dies: bool) -> None:
        self._scanner, self.dies = Scanner(storage, name), dies
        self.is_ready = self.scan = self.close = self

    def remote(self, *asked: Any) -> Callable[[], Any]:
        def call() -> Any:
            if asked and self.dies:
                self.dies = False
                raise _LostError("killed")
            return self._scanner.scan(*asked) if asked else True

        return call


class _FakeRay:
    """Calls one thing after the other, when it is waited for."""

    def wait(self, calls: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return calls[-1:], calls[:-1]

    def get(self, call: Callable[[], Any]) -> Any:
        return call()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftkit_home: Path) -> ft.Ray:
    """A cluster of three workers in a thread of this process; parts are small."""
    storage = tmp_path / "shared"
    storage.mkdir()
    monkeypatch.setenv("FTKIT_HOME", str(ftkit_home))  # which the workers change
    monkeypatch.setattr(cluster_scan, "_SMALLEST_PART", 31)
    monkeypatch.setattr(cluster_scan, "_POLL_S", 0.005)
    monkeypatch.setattr(cluster_scan, "_STATUS_S", 1_000.0)  # there is no job whose status could be asked

    def submit(name: str, handle: Any, command: str, environment: Any) -> None:
        assert f"ftkit.linting.cluster_job {handle.storage} {name}" in command
        files = run_files(handle.storage, name)
        workers = [_Worker(handle.storage, name, dies=number == 2) for number in range(3)]

        def work() -> None:
            try:
                scan_all(files, len(files.job()["parts"]), workers, _FakeRay(), _LostError)
                files.finish(state="succeeded")
            except WorkerError as error:
                files.finish(state="failed", error=error.said)

        threading.Thread(target=work, daemon=True).start()

    monkeypatch.setattr(cluster_scan, "submit_job", submit)
    monkeypatch.setattr(cluster_scan, "job_environment", lambda storage: {})
    for name in ("stop_job", "delete_job"):
        monkeypatch.setattr(cluster_scan, name, lambda *args: None)
    monkeypatch.setattr(cluster_scan, "job_status", lambda *args: JobStatus("ended", "it has ended"))
    return ft.Ray("m", address="http://head:8265", workers=3, storage=storage)


def comparable(report: ft.LintReport) -> dict[str, Any]:
    return report.model_dump(exclude={"created_at"})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in _LONG else ()) for name in BASES]
)
def test_a_cluster_finds_what_this_machine_finds(name: str, cluster: ft.Ray, tmp_path: Path) -> None:
    base = BASES[name]
    train = base.opened(planted_rows(name, "train"), tmp_path / "train.jsonl")
    test = base.opened(planted_rows(name, "test"), tmp_path / "test.jsonl")
    options: dict[str, Any] = {
        "backends": "openai:gpt-4.1-mini",
        "recipe": ft.SFT(epochs=8),
        "ignore": SLOW,
        "keep": 20,
        "ignore_rows": {train[0].id: ["U", "C001"]},
    }
    here, there = (ft.lint(train, test, workers=workers, **options) for workers in (1, cluster))
    assert len(here.counts) >= 3
    assert comparable(there) == comparable(here)
    assert not list((tmp_path / "shared" / "runs").iterdir())


def test_the_users_rows_of_the_catalogue_hold_there(chats: Any, cluster: ft.Ray, ftkit_home: Path) -> None:
    rows = [(f"question {number} " + "word " * 4_000, f"answer {number}") for number in range(3)]
    (ftkit_home / "catalog.toml").write_text(
        '[[model]]\nprovider = "openai"\nid = "gpt-4.1-mini-2025-04-14"\ntraining_context = 50\n'
        'source = "https://example.com"\nas_of = 2026-11-01\n'
    )
    data = chats(*rows)
    here, there = (ft.lint(data, backends="openai:gpt-4.1-mini", workers=workers) for workers in (1, cluster))
    assert "H003" in [count.code for count in here.counts]
    assert comparable(there) == comparable(here)


def test_what_the_nodes_lack_is_refused_by_name(
    chats: Any, cluster: ft.Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint_rules, "_registered", {})
    ft.lint_rule("Q001", "no-foo")(lambda row: "foo" if "foo" in str(row.prompt) else None)
    data = chats(("a foo", "x"), ("b", "y"))
    with pytest.raises(ft.RefusedError, match="the rule Q001 is declared in a script") as refused:
        ft.lint(data, workers=cluster)
    assert refused.value.fields == ("workers", "select")
    assert ft.lint(data, workers=f"ray:{cluster.model}", ignore="Q").rows == {"train": 2}

    @dataclass
    class Answer:
        day: str

    classified = ft.Dataset.from_rows(
        [{"q": "1", "a": {"day": "x"}}], ft.Task("x", input="{q}", output=Answer), target="a"
    )
    with pytest.raises(ft.RefusedError, match="checked by the Python class Answer"):
        ft.lint(classified, workers=cluster, ignore="Q")


def test_an_error_there_is_told_here(chats: Any, cluster: ft.Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftkit.linting import cluster_job

    def broken(opened: Any, part: Any) -> bytes:
        raise ft.DataError("rows.jsonl has changed.")

    monkeypatch.setattr(cluster_job, "scan_part", broken)
    with pytest.raises(ft.DataError, match=r"on http://head:8265: rows\.jsonl has changed"):
        ft.lint(chats(("a", "b")), workers=cluster)


def test_a_job_that_has_ended_is_an_error(chats: Any, cluster: ft.Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_scan, "submit_job", lambda *args: None)
    monkeypatch.setattr(cluster_scan, "_STATUS_S", 0.0)
    monkeypatch.setattr(cluster_scan, "job_log", lambda *args: "before\nNo module named x\n")
    with pytest.raises(ft.HostError, match=r"has ended: it has ended\. Its log ends with: before No module named x"):
        ft.lint(chats(("a", "b")), workers=cluster)


observed = st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=3), st.integers(0, 900)), max_size=40)


@settings(max_examples=50)
@given(observed, st.integers(1, 5))
def test_results_come_back_as_they_were(rows: list[tuple[str, str, int]], keep: int) -> None:
    counter, found = VariantCounter(), RuleFindings("warning", fixable=True, keep=keep)
    for key, variant, row in sorted(rows, key=lambda each: each[2]):
        counter.add(key, variant, row)
        found.add(RuleFinding(variant, path=key, row=row, others=(row + 1,), severity="error" if row % 2 else None))
    back = result_from_bytes(
        result_to_bytes(ScanResult({"X001": found}, {"C003": counter}, None, {3: ("U",)}, {"X001": 5})), len(rows)
    )
    assert list(back.counters["C003"]) == list(counter)
    for key, variant, _ in rows:
        assert back.counters["C003"].rows(key, variant) == counter.rows(key, variant)
    assert vars(back.findings["X001"]) == vars(found)
    assert (back.ignores, back.limited, back.features) == ({3: ("U",)}, {"X001": 5}, None)


def test_a_result_that_is_none_is_refused() -> None:
    import io
    import pickle

    written = io.BytesIO()
    np.savez(written, texts=np.array([{"a": 1}], dtype=object))  # a pickle, which would run code
    for content in (b"", b"PK", pickle.dumps(1), written.getvalue()):
        with pytest.raises(FtkitError, match="the result of a scan is damaged"):
            result_from_bytes(content, 1)
