"""Servers as users start them: processes of their own, asked over HTTP by OpenAI's own client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.tiny import save_tiny

from .specification import validate_answer

ENDED = ("succeeded", "failed", "cancelled")

LIKES_E = {
    "type": "string_check",
    "name": "has an e",
    "operation": "ilike",
    "input": "{{sample.output_text}}",
    "reference": "{{item.letter}}",
}
PYTHON = {
    "type": "python",
    "name": "share of e",
    "source": "def grade(sample, item):\n"
    "    text = sample['output_text'].lower()\n"
    "    return text.count(item['letter']) / max(1, len(text))\n",
}
_REWARDING = """
organization = "acme"
[reinforcement]
allow_python = true
max_output_tokens = 2
learning_rate = 0.02
precision = "fp32"
probe_prompts = 2
"""


class Running:
    """A server in a process, its home, and the clients that were made for it."""

    def __init__(self, home: Path, *arguments: str, settings: str = "") -> None:
        self.home = home
        config = home / "serve.toml"
        config.write_text(settings)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ftkit", "serve", "--port", "0", "--config", str(config), *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "FTKIT_HOME": str(home), "FTKIT_DEBUG": "1"},
            start_new_session=True,
        )
        self.log: list[str] = []
        self.url = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if " at http://" in line:
                self.url = line.partition(" at ")[2].partition("/v1;")[0]
                break
        if not self.url:
            pytest.fail(f"the server did not start: {''.join(self.log)}")
        # Read on, so that the server never waits for a full pipe.
        threading.Thread(target=lambda: self.log.extend(self.process.stderr or ()), daemon=True).start()

    def client(self, key: str = "any", **options: Any) -> openai.OpenAI:
        """OpenAI's client; every answer it gets is held to the OpenAPI file."""
        hooks = {"response": [validate_answer]}
        http = openai.DefaultHttpxClient(event_hooks=hooks)
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key, http_client=http, **{"max_retries": 0, "timeout": 60, **options}
        )

    def stop(self) -> int:
        """Ask it to end, and wait."""
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        """As the machine's owner or a lack of memory would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


def new_home(folder: Path, models: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "models").symlink_to(models)
    return folder


@pytest.fixture(scope="session")
def server(tiny_model: str, shared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of the tiny model, for all tests of a session: to start one takes seconds."""
    home = new_home(tmp_path_factory.mktemp("served") / "home", shared_models)
    running = Running(
        home,
        *("--model", f"tiny={tiny_model}"),
        settings='organization = "acme"\nconcurrent_jobs = 2\n[aliases]\n"gpt-4.1-mini-2025-04-14" = "tiny"\n',
    )
    yield running
    assert running.process.poll() is None, "".join(running.log)
    running.stop()


@pytest.fixture
def client(server: Running) -> openai.OpenAI:
    return server.client()


@pytest.fixture(scope="session")
def rewarding(tokenizer: Any, shared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of a random model with favourites, so that there is something to choose from."""
    folder = tmp_path_factory.mktemp("rewarding")
    decided = save_tiny(folder / "decided", "llama", tokenizer, initializer_range=0.5)
    options = ("--model", f"decided={decided}", "--embedder", f"local:{decided}")
    running = Running(new_home(folder / "home", shared_models), *options, settings=_REWARDING)
    yield running
    running.stop()


def rows(count: int, *, start: int = 0) -> bytes:
    """A file of short conversations."""
    lines = (
        {
            "messages": [
                {"role": "user", "content": f"say {number}"},
                {"role": "assistant", "content": f"number {number}"},
            ]
        }
        for number in range(start, start + count)
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def uploaded(client: openai.OpenAI, content: bytes, name: str = "rows.jsonl") -> str:
    return client.files.create(file=(name, content), purpose="fine-tune").id


def ended(client: openai.OpenAI, job_id: str, seconds: float = 120) -> Any:
    """The job, once it has ended."""
    return until(lambda: client.fine_tuning.jobs.retrieve(job_id), lambda job: job.status in ENDED, seconds)


def until(look: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 60) -> Any:
    """What ``look`` finds, once it is ``wanted``."""
    deadline = time.monotonic() + seconds
    while not wanted(found := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not in {seconds} s: {found}")
        time.sleep(0.1)
    return found


def messages(client: openai.OpenAI, job_id: str) -> list[str]:
    """What the events of a job say, the oldest first."""
    return [event.message for event in client.fine_tuning.jobs.list_events(job_id, limit=100)][::-1]
