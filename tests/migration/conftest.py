"""An account at a fake of OpenAI with a tuned model, made through the official client."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest

from ftkit.backends import registry
from tests.hosts.openai_host import OpenAIFake
from tests.hosts.serving import Call, serving

BASE = "gpt-4.1-mini-2025-04-14"
WORDS = ("red", "blue")


def conversation(number: int) -> dict[str, Any]:
    """Row ``number``: its right answer is red for even numbers."""
    return {
        "messages": [
            {"role": "system", "content": "Say which team."},
            {"role": "user", "content": f"case {number}"},
            {"role": "assistant", "content": WORDS[number % 2]},
        ]
    }


def write_conversations(path: Path, numbers: range) -> Path:
    path.write_text("".join(json.dumps(conversation(number)) + "\n" for number in numbers), encoding="utf-8")
    return path


@dataclass
class Account:
    """The fake, its tuned model, and which rows were asked of which model.

    Attributes:
        wrong: by model, the rows that it answers wrongly.
        failing: rows to which every request fails.
        delay_s: how long each answer takes.
    """

    fake: OpenAIFake
    job: str = ""
    model: str = ""
    wrong: dict[str, set[int]] = field(default_factory=dict)
    failing: set[int] = field(default_factory=set)
    delay_s: float = 0.0
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)

    def of(self, model: str) -> dict[int, int]:
        """How often each row was asked of a model."""
        return {number: count for (name, number), count in self.asked.items() if name == model}

    def answer(self, call: Call) -> Any:
        if not call.path.endswith("/chat/completions"):
            return None
        asked = call.json()
        number = int(asked["messages"][-1]["content"].rpartition(" ")[2])
        if number in self.failing:
            return 400, {"error": {"message": "this prompt is not allowed", "code": "content_policy"}}, {}
        self.asked[asked["model"], number] += 1
        time.sleep(self.delay_s)
        right = number not in self.wrong.get(asked["model"], set())
        self.fake.answers = lambda _: WORDS[(number + (0 if right else 1)) % 2]
        return None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FTKIT_CATALOG", str(tmp_path / "fakes.toml"))
    registry._created.cache_clear()
    return tmp_path / "home"


@pytest.fixture
def account(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account whose tuned model is wrong on 4 of the 40 validation rows."""
    with serving(OpenAIFake()) as fake:
        assert isinstance(fake, OpenAIFake)
        fake.spec = None  # what it says is held to the OpenAPI file in the tests of hosts
        own = Account(fake)
        client = openai.OpenAI(base_url=f"{fake.url}/v1", api_key=fake.key)
        files = [
            client.files.create(file=(f"{name}.jsonl", path.read_bytes()), purpose="fine-tune")
            for name, path in (
                ("train", write_conversations(tmp_path / "train.jsonl", range(100, 124))),
                ("validation", write_conversations(tmp_path / "validation.jsonl", range(40))),
            )
        ]
        job = client.fine_tuning.jobs.create(
            model=BASE,
            training_file=files[0].id,
            validation_file=files[1].id,
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 8}}},
        )
        while job.status != "succeeded":
            job = client.fine_tuning.jobs.retrieve(job.id)
        own.job, own.model = job.id, str(job.fine_tuned_model)
        own.wrong[own.model] = {0, 10, 20, 30}
        fake.override = own.answer
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", fake.key)
        yield own
    registry._created.cache_clear()
