"""Every test stands in an empty folder with a home of its own, types commands, and has a backend to plug in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ftkit.cli.app import app

PLUGIN = Path(__file__).parent / "plugin"
TEXTS = ["one", "two words", "three whole words", "an odd text", "and a last one here"]


@pytest.fixture(scope="session")
def plugged_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The folders that make the toy backend an installed package with an entry point."""
    site = tmp_path_factory.mktemp("site")
    package = site / "toy_backend-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-backend\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[ftkit.backends]\ntoy = toy_backend:Toy\n")
    folders = [str(site), str(PLUGIN)]
    sys.path[:0] = folders
    yield folders
    for folder in folders:
        sys.path.remove(folder)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugged_in: list[str]) -> Path:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FTKIT_DEBUG", raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ftkit() -> Callable[..., Result]:
    """Types ``ftkit`` with the arguments; standard output and standard error are kept apart."""

    def type_in(*arguments: object, given: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)

    return type_in


@pytest.fixture
def start(plugged_in: list[str]) -> Callable[..., subprocess.Popen[str]]:
    """Starts ``ftkit`` as a process of its own."""

    def begin(*arguments: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([*plugged_in, *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.Popen(
            [sys.executable, "-m", "ftkit", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    return begin


def write_rows(name: str, rows: list[Any]) -> str:
    Path(name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return name


@pytest.fixture
def texts() -> str:
    """A file of texts with what a toy should answer about them."""
    return write_rows(
        "texts.jsonl",
        [{"id": f"t{n}", "text": text, "gold": {"first": text.split()[0], "words": len(text.split())}}
         for n, text in enumerate(TEXTS)],
    )  # fmt: skip


@pytest.fixture
def task(ftkit: Callable[..., Result], texts: str) -> str:
    done = ftkit("task", "--data", texts, "--input", "{text}", "--target", "gold", "-o", "task.yaml")
    assert done.exit_code == 0, done.stderr
    return "task.yaml"


@pytest.fixture
def trained(ftkit: Callable[..., Result], texts: str, task: str) -> str:
    """The id of a run that has succeeded."""
    done = ftkit("train", "--data", texts, "--task", task, "--target", "gold", "--backend", "toy:base")
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()
