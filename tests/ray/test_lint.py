"""Rows that are linted on a real Ray cluster of one machine."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

import ftkit as ft
from ftkit.linting import cluster_scan
from tests.linting.planted import BASES
from tests.linting.test_cluster_scan import comparable
from tests.linting.test_counts import SLOW, planted_rows
from tests.ray.test_runs import processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_a_cluster_finds_what_this_machine_finds(
    kind: str, head: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_scan, "_SMALLEST_PART", 40)
    (tmp_path / "shared").mkdir()
    storage = request.getfixturevalue("bucket") if kind == "store" else tmp_path / "shared"
    cluster = ft.Ray("m", address=head, workers=2, storage=storage)
    base = BASES["triage"]
    train = base.opened(planted_rows("triage", "train"), tmp_path / "train.jsonl")
    test = base.opened(planted_rows("triage", "test"), tmp_path / "test.jsonl")
    options: dict[str, Any] = {"backends": "openai:gpt-4.1-mini", "recipe": ft.SFT(epochs=8), "ignore": SLOW}
    killed = threading.Event()

    def kill_one() -> None:
        while not killed.wait(0.05):
            for each in processes("ray::Scanner.scan"):
                killed.set()
                try:
                    each.kill()
                except psutil.Error:  # it has ended
                    killed.clear()
                    continue
                return

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        there = ft.lint(train, test, workers=cluster, **options)
        assert killed.is_set()
    finally:
        killed.set()
        killer.join()
    assert comparable(there) == comparable(ft.lint(train, test, workers=1, **options))
    if kind == "folder":
        assert not list((tmp_path / "shared" / "runs").iterdir())
