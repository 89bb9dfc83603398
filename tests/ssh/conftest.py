"""The machine of the tests: this one, through a real sshd, with a folder of its own and this interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.ssh import session
from tests.ssh.loopback import Loopback, loopback


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
    with loopback(tmp_path_factory.mktemp("sshd"), environment) as running:
        yield running


@pytest.fixture
def machine(sshd: Loopback, tmp_path: Path) -> Iterator[Callable[..., ft.SSH]]:
    """``machine(model)``: a backend on a machine where nothing of ftkit is yet."""
    sshd.line.down, sshd.line.cut_after = False, None

    def backend(model: str, **changes: str) -> ft.SSH:
        given = {"python": sys.executable, "folder": str(tmp_path / "there"), "config": str(sshd.config)}
        return ft.SSH("box", model, **given | changes)

    yield backend
    session.session_with.cache_clear()
    sshd.line.cut()


@pytest.fixture
def line(sshd: Loopback) -> Iterator[object]:
    yield sshd.line
    sshd.line.down, sshd.line.cut_after = False, None
