"""``optimise_prompt`` against a host: price, cap, a killed process, and a local model with a hosted reflection."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import registry
from ftkit.cli.app import app
from ftkit.evaluation import PromptRecord

HINT = "Even cases are red, odd ones are blue."


@pytest.fixture
def account(openai_fake, monkeypatch):
    """A host whose models say the team only to a prompt that gives the rule."""

    def completion(call):
        asked = json.loads(call.body)
        *before, last = [str(message["content"]) for message in asked["messages"]]
        if "I provided an assistant" in last:
            return f"```\n{HINT}\n```"
        return ("red", "blue")[int(last.split()[-1]) % 2] if HINT in "".join(before) else "red"

    openai_fake.sent, openai_fake.gate = [], threading.Event()
    openai_fake.held_from = 10_000
    whole = openai_fake.answer

    def answer(call):
        if call.path.endswith("/chat/completions"):
            openai_fake.sent.append(json.loads(call.body)["messages"])
            if len(openai_fake.sent) > openai_fake.held_from:
                openai_fake.lock.release()  # the others may call meanwhile
                openai_fake.gate.wait(30)
                openai_fake.lock.acquire()
            openai_fake.answers = lambda text: completion(call)
        return whole(call)

    openai_fake.answer = answer
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", openai_fake.key)
    registry._created.cache_clear()
    return openai_fake


@pytest.fixture
def folder(tmp_path, notes, monkeypatch):
    notes.task.to_yaml(tmp_path / "task.yaml")
    rows = [{"text": f"case {number}", "team": ("red", "blue")[number % 2]} for number in range(60)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


ARGUMENTS = ("optimise-prompt", "openai:gpt-6-luna", "--data", "train.jsonl", "--task", "task.yaml", "--target", "team")


def test_from_the_price_to_the_task(account, folder):
    refused = CliRunner().invoke(app, ARGUMENTS)
    assert refused.exit_code == 2
    assert "the search can cost up to $" in refused.stderr
    assert "--max-cost USD" in refused.stderr
    assert account.sent == []
    done = CliRunner().invoke(app, [*ARGUMENTS, "--max-cost", "1"])
    assert done.exit_code == 0, done.output
    assert "cost: at most $" in done.stderr
    task, record = ft.Task.from_yaml("optimised.yaml"), PromptRecord.load("optimised.record.json")
    assert task.instructions == HINT
    assert record.comparison is not None
    assert record.comparison.verdict == "better"
    assert record.after.headline.value == 1
    assert 0 < record.usd < 1
    assert sum(one.requests for one in record.models) == len(account.sent)
    assert not Path("optimised.answers").exists()
    assert "already exists" in CliRunner().invoke(app, [*ARGUMENTS, "--max-cost", "1"]).stderr


@pytest.mark.slow
def test_a_killed_search_asks_nothing_twice(account, folder):
    asked, account.held_from = account.sent, 26
    words = [*ARGUMENTS, "--max-cost", "1", "--concurrency", "2"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "ftkit", *words],
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(asked) < 27 and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    account.gate.set()
    assert Path("optimised.answers/answers.jsonl").stat().st_size > 0
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    times = Counter(json.dumps(messages) for messages in asked)
    assert sum(count - 1 for count in times.values()) <= 2  # those that were on their way when it was killed
    assert ft.Task.from_yaml("optimised.yaml").instructions == HINT


def test_a_model_on_this_machine_with_a_reflection_model_at_a_host(account, folder, notes, tiny_model):
    data = ft.Dataset.load("train.jsonl", notes.task, target="team")
    found = ft.optimise_prompt(
        notes.task,
        f"local:{tiny_model}",
        data.take(24),
        reflection="openai:gpt-6-luna",
        rounds=2,
        shots=2,
        max_cost=0.5,
        sampling=ft.Sampling(max_output_tokens=4),
    )
    asked, reflecting = found.record.models
    assert asked.usd is None
    assert asked.requests >= 16
    assert reflecting.usd > 0
    assert len(account.sent) == reflecting.requests >= 1
    assert "Say which team." in account.sent[0][0]["content"]
