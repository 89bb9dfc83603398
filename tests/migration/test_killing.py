"""A migration that is killed twice: it goes on where it was, trains once and pays no answer twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.files import home as ft_home
from ftkit.migration import Certificate
from tests.browser import needs_browser, opened_browser

from .conftest import Account
from .test_migrate import LUNA, migrate

IN_FLIGHT = 8


def run(folder: Path, *arguments: str, kill_when: Callable[[], bool] | None = None) -> int:
    """The command as a process of its own, killed at a moment; its exit status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ftkit", "migrate", *arguments, "-o", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=(folder.parent / "stderr.txt").open("a"),
    )
    if kill_when is None:
        return process.wait(timeout=240)
    deadline = time.monotonic() + 120
    while not kill_when():
        assert process.poll() is None, (folder.parent / "stderr.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def state_of(folder: Path) -> dict[str, Any]:
    path = folder / "migration.json"
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return state


DYING = """
import os, signal, sys
from ftkit.cli import main
from ftkit.evaluation.answer_journal import Journal

moment = sys.argv.pop(1)
if moment.isdigit():  # when the file of this number was written and is to be put in its place
    left, replace = [int(moment)], os.replace

    def counted(*names):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*names)

    os.replace = counted
else:  # before these answers are deleted, which are in a report already
    close = Journal.close

    def closing(journal, *, delete):
        if delete and journal._folder.name.startswith(moment):
            os.kill(os.getpid(), signal.SIGKILL)
        close(journal, delete=delete)

    Journal.close = closing
main()
"""


def killed_at(moment: str, folder: Path, *arguments: str) -> int:
    """The command in a process that kills itself at a moment; its exit status."""
    command = [sys.executable, "-c", DYING, moment, "migrate", *arguments, "-o", str(folder)]
    return subprocess.run(command, capture_output=True, check=False, timeout=240).returncode


def check_paid_once(account: Account, folder: Path, *command: str) -> None:
    """The same command goes on, and asks nothing that was answered; nothing is left beside its results."""
    done = migrate(*command, folder=folder)
    assert done.exit_code == 0, done.output
    assert set(account.asked.values()) == {1}
    assert len(account.asked) == 80
    assert Certificate.load(folder / "certificate.json").check_files(folder) == []
    assert not (folder / "answers").exists()
    assert [path.name for path in folder.rglob(".*")] == []
    assert not list((ft_home() / "evaluations").glob("*")), "a migration's answers are its own"


@pytest.mark.parametrize("moment", ["frozen", pytest.param("prompt-openai", marks=pytest.mark.slow)])
def test_answers_that_a_kill_left_behind_are_nobodys(account: Account, tmp_path: Path, moment: str) -> None:
    folder, command = tmp_path / "migration", (account.job, "--to", LUNA, "--margin", "0.1", "--yes")
    assert killed_at(moment, folder, *command) == -signal.SIGKILL
    assert len(list((folder / "answers").rglob("*.jsonl"))) == 1
    other = tmp_path / "other"
    assert migrate(*command, folder=other).exit_code == 0
    assert set(account.of(account.model).values()) == {2}, "another migration asks for itself"
    account.asked.clear()
    assert migrate(*command, folder=folder).exit_code == 0
    if moment == "frozen":
        assert account.of(account.model) == {}
    else:
        assert account.asked == {}
    assert not (folder / "answers").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_at_any_file_pays_for_nothing_twice(account: Account, tmp_path: Path) -> None:
    command = (account.job, "--to", LUNA, "--margin", "0.1", "--yes")
    for number in range(1, 40):
        folder = tmp_path / f"migration{number}"
        account.asked.clear()
        status = killed_at(str(number), folder, *command)
        check_paid_once(account, folder, *command)
        if status == 0:
            assert number > 10, "it writes more files"
            return
        assert status == -signal.SIGKILL
    raise AssertionError("it writes fewer files")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_migration_that_is_killed_twice(account: Account, tmp_path: Path, tiny_model: str) -> None:
    folder, local = tmp_path / "migration", f"local:{tiny_model}"
    command = [account.job, "--to", local, "--to", LUNA, "--margin", "0.2", "--gpu-hour-usd", "0.5", "--yes"]
    command += ["--max-output-tokens", "8"]
    account.delay_s = 0.05
    old = account.of
    status = run(folder, *command, kill_when=lambda: len(old(account.model)) >= 12)
    assert status == -signal.SIGKILL
    assert state_of(folder)["frozen"] is None
    account.delay_s = 0.0

    def trains() -> bool:
        begun = (state_of(folder).get("candidates") or {}).get(local) or {}
        return bool(begun.get("runs")) and any(one.state == "running" for one in ft.runs.all())

    assert run(folder, *command, kill_when=trains) == -signal.SIGKILL
    assert old("gpt-6-luna") == {}
    assert run(folder, *command) == 0, (tmp_path / "stderr.txt").read_text()

    asked_twice = [number for number, count in old(account.model).items() if count > 1]
    assert len(old(account.model)) == 40
    assert len(asked_twice) <= IN_FLIGHT  # what was asked and not answered when the process was killed
    assert set(old("gpt-6-luna").values()) == {1}
    (trained,) = ft.runs.all()
    certificate = Certificate.load(folder / "certificate.json")
    assert [one.status for one in certificate.candidates] == ["NOT CERTIFIED", "CERTIFIED"]
    tuned = certificate.candidates[0]
    assert tuned.run == trained.id
    assert tuned.artefacts
    assert tuned.recipe is not None
    assert tuned.recipe["epochs"] == 1
    assert tuned.recipe["batch_size"] == 8
    assert tuned.per_1000_usd is not None
    assert certificate.check_files(folder) == []
    assert account.fake.key not in (tmp_path / "stderr.txt").read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_candidate_that_trains_at_a_host(account: Account, tmp_path: Path) -> None:
    """Its job is created once, though the process is killed while it waits."""
    folder, there = tmp_path / "migration", "openai:gpt-4o-mini-2024-07-18"
    command = [account.job, "--to", there, "--margin", "0.2", "--yes"]

    def waits() -> bool:
        return len(account.fake.jobs) == 2

    assert run(folder, *command, kill_when=waits) == -signal.SIGKILL
    assert run(folder, *command) == 0, (tmp_path / "stderr.txt").read_text()
    assert len(account.fake.jobs) == 2
    (candidate,) = Certificate.load(folder / "certificate.json").candidates
    assert candidate.status == "CERTIFIED"
    assert str(candidate.model).startswith("openai:ft:gpt-4o-mini")


@needs_browser
@pytest.mark.slow
def test_the_certificate_in_a_browser(account: Account, tmp_path: Path) -> None:
    folder = tmp_path / "migration"
    assert migrate(account.job, "--to", LUNA, "--margin", "0.1", "--yes", folder=folder).exit_code == 0
    page = folder / "certificate.html"
    with opened_browser() as browser:
        for width in (1200, 390):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get_log("performance")
            browser.get(page.as_uri())
            assert browser.get_log("browser") == []
            sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
            asked = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
            assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
            wide, shown = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
            assert wide <= shown
        text = browser.execute_script("return document.body.innerText")
        browser.save_screenshot(str(tmp_path / "page.png"))
    assert f"may replace openai:{account.model}" in text
    assert "2027-01-14" in text
    assert "CERTIFIED" in text
