"""Every test has a home folder of its own, and files written as bytes: what stands in them is what is tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "own-home"  # not made yet
    monkeypatch.setenv("FTKIT_HOME", str(home))
    return home


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes | str], str]:
    """Writes a file and gives its name, relative to the folder the test stands in, as a user would type it."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: bytes | str) -> str:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    return write


@pytest.fixture
def write_rows(write: Callable[[str, bytes | str], str]) -> Callable[..., str]:
    def write_rows(rows: list[Any], name: str = "rows.jsonl") -> str:
        return write(name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    return write_rows
