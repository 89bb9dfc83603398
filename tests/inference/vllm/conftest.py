"""A program in place of vLLM's: a real process with a real HTTP server, without a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_vllm.py")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the program."""
    script = tmp_path_factory.mktemp("vllm") / "vllm"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    script.chmod(0o755)
    return str(script)


class Calls:
    """What the program was started with and asked."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def misbehave(self, way: str) -> None:
        """From now on, in a way that ``fake_vllm.py`` knows; "" is properly."""
        Path(f"{self.file}.ways").write_text(way)

    @property
    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    @property
    def starts(self) -> list[dict[str, Any]]:
        return [call for call in self.all if "started" in call]

    def to(self, path: str) -> list[dict[str, Any]]:
        return [call["body"] for call in self.all if call.get("path") == path]


@pytest.fixture
def calls(tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """Make the program the one that ``engine="vllm"`` starts; take down all servers afterwards."""
    from ftkit.inference.vllm import pool

    monkeypatch.setenv("FTKIT_VLLM", program)
    monkeypatch.setenv("FAKE_VLLM_LOG", str(tmp_path / "calls.jsonl"))
    yield Calls(tmp_path / "calls.jsonl")
    pool.close_pools()
