"""A retiring model's answers as a baseline: cut off and taken up, with nothing but the core and one extra."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import registry
from ftkit.cli.app import app

TUNED = "openai:ft:gpt-4.1-mini-2025-04-14:acme::abc"
BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'transformers', 'peft', 'bitsandbytes', 'accelerate', 'gguf', 'psutil',
                                  'datasets', 'pandas', 'pyarrow', 'sklearn', 'sacrebleu', 'rouge_score',
                                  'llguidance', 'starlette', 'uvicorn', 'detect_secrets', 'rensa', 'py3langid'):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from ftkit.cli import main
main()
"""


@pytest.fixture
def account(openai_fake, monkeypatch):
    openai_fake.answers = lambda text: "red"
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    registry._created.cache_clear()
    return openai_fake


@pytest.fixture
def folder(tmp_path, notes):
    notes.task.to_yaml(tmp_path / "task.yaml")
    rows = [{"text": f"case {number}", "team": ("red", "blue")[number % 2]} for number in range(40)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def _arguments(folder: Path, *more: str) -> list[str]:
    return ["freeze", TUNED, "--data", str(folder / "test.jsonl"), "--task", str(folder / "task.yaml"), "--target",
            "team", "-o", str(folder / "frozen.json"), *more]  # fmt: skip


def test_the_cost_is_said_first_and_the_baseline_outlives_the_model(account, folder, notes):
    done = CliRunner().invoke(app, _arguments(folder))
    assert done.exit_code == 0, done.output
    assert "40 rows" in done.stderr
    assert "about $0.0" in done.stderr
    assert "It stops answering on 2027-01-14, in " in done.stderr
    frozen = ft.Report.load(folder / "frozen.json")
    assert frozen.headline.value == 0.5
    assert all(row.text == "red" for row in frozen.rows)
    assert "already exists" in CliRunner().invoke(app, _arguments(folder)).stderr

    account.answers = lambda text: "red" if text[-1] in "02468" else "blue"  # another model, and the first is gone
    new = ["evaluate", "openai:gpt-6-luna", *_arguments(folder)[2:-2], "-o", str(folder / "new.json")]
    assert CliRunner().invoke(app, new).exit_code == 0
    account.fault = lambda call: "500_before"
    compared = CliRunner().invoke(app, ["compare", str(folder / "frozen.json"), str(folder / "new.json")])
    assert compared.exit_code == 0, compared.output
    assert "better" in compared.stdout


def test_more_than_max_cost_is_refused_before_asking(account, folder):
    done = CliRunner().invoke(app, _arguments(folder, "--max-cost", "0.0001"))
    assert done.exit_code != 0
    assert "No request was sent" in done.stderr
    assert account.calls == []


def test_conversations_need_no_task(account, folder):
    rows = [{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "red"}]}] * 3
    (folder / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = CliRunner().invoke(
        app, ["freeze", TUNED, "--data", str(folder / "chat.jsonl"), "-o", str(folder / "f.json")]
    )
    assert done.exit_code == 0, done.output
    assert ft.Report.load(folder / "f.json").headline.value == 1.0


def test_it_needs_the_core_and_one_extra(account, folder):
    done = subprocess.run(
        [sys.executable, "-c", BARE, *_arguments(folder)],
        env={**os.environ, "FTKIT_DEBUG": "1"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(ft.Report.load(folder / "frozen.json").rows) == 40
    assert account.key not in done.stdout + done.stderr + (folder / "frozen.json").read_text()


def test_a_kill_pays_for_nothing_twice(account, folder, home):
    gate = threading.Event()
    asked: list[str] = []

    def slow(text):
        asked.append(text.rpartition("case ")[2])
        if len(asked) > 12:
            account.lock.release()  # the others may call meanwhile
            gate.wait(20)
            account.lock.acquire()
        return "red"

    account.answers = slow
    worker = subprocess.Popen(
        [sys.executable, "-m", "ftkit", *_arguments(folder, "--concurrency", "4")],
        env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(asked) < 16 and time.monotonic() < deadline:
        time.sleep(0.02)
    kept = _kept(home)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    gate.set()
    assert len(kept) >= 12
    account.answers = lambda text: (asked.append(text.rpartition("case ")[2]), "red")[1]
    assert CliRunner().invoke(app, _arguments(folder, "--concurrency", "4")).exit_code == 0
    assert all(asked.count(str(number)) == 1 for number in kept)
    assert len(asked) <= 40 + 4
    assert list((home / "evaluations").iterdir()) == []


def _kept(home: Path) -> list[int]:
    (file,) = (home / "evaluations").glob("*.jsonl")
    return [json.loads(line)[0] for line in file.read_text().splitlines() if line.endswith("]")]


def test_answers_are_kept_until_the_report_is_written(account, folder, home, monkeypatch):
    """A full disk at the last moment loses nothing, and nothing is paid again."""

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("ftkit.cli.freeze.save_result", full)
        done = CliRunner().invoke(app, _arguments(folder))
    assert done.exit_code != 0
    assert len(_kept(home)) == 40
    asked = len(account.calls)
    assert CliRunner().invoke(app, _arguments(folder)).exit_code == 0
    assert len(account.calls) == asked


def test_an_evaluation_keeps_its_answers_until_the_file_is_written(account, folder, home, monkeypatch):
    arguments = ["evaluate", *_arguments(folder)[1:-2], "--no-probes", "--concurrency", "4"]
    arguments += ["-o", str(folder / "report.json")]

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("ftkit.cli.evaluate.save_result", full)
        assert CliRunner().invoke(app, arguments).exit_code != 0
    assert len(_kept(home)) == 40
    asked = len(account.calls)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert len(account.calls) == asked
    assert "40 of 40 are answers to an interrupted evaluation" in done.stdout
    assert list((home / "evaluations").iterdir()) == []


def test_answered_rows_are_not_paid_again_after_others_failed(account, folder, home):
    refused = {"case 3", "case 7"}

    def override(call):
        if not call.path.endswith("/chat/completions"):
            return None
        text = call.json()["messages"][-1]["content"]
        if any(text.endswith(one) for one in refused):
            return 400, {"error": {"message": "the prompt was filtered", "code": "weird"}}, {}
        return None

    account.override = override
    done = CliRunner().invoke(app, _arguments(folder))
    assert "2 of 40 rows failed" in done.stderr
    assert "to ask only these rows again" in done.stderr
    asked = len(account.calls)
    refused.clear()
    assert CliRunner().invoke(app, _arguments(folder, "--overwrite")).exit_code == 0
    again = [call for call in account.calls[asked:] if call.path.endswith("/chat/completions")]
    assert len(again) == 2
    report = ft.Report.load(folder / "frozen.json")
    assert all(row.finish_reason == "stop" for row in report.rows)
    assert list((home / "evaluations").iterdir()) == [], "and now nothing is kept"
