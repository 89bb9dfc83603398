"""Files over a connection that is cut: they go on where they stopped, and arrive whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends.ssh import transfer
from ftkit.backends.ssh.transfer import fetch_folder, send_file


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def entry(file: Path) -> dict[str, Any]:
    return {"name": file.name, "size": file.stat().st_size, "sha256": digest(file)}


@pytest.fixture
def sftp_commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    commands: list[str] = []
    run = transfer._sftp

    def note(machine: Any, command: str) -> None:
        commands.append(command.split()[0])
        run(machine, command)

    monkeypatch.setattr(transfer, "_sftp", note)
    monkeypatch.setattr(transfer, "_RETRY_S", 0.05)
    return commands


def test_a_file_that_was_cut_is_sent_on(
    machine: Callable[..., ft.SSH], tmp_path: Path, line: Any, sftp_commands: list[str]
) -> None:
    session, file = machine("smollm2-135m")._session, tmp_path / 'rows [1] "a" b.jsonl'
    file.write_bytes(os.urandom(3_000_000))
    session.call("receive", digest=digest(file), size=file.stat().st_size)  # the code is there now
    line.cut_after = 1_500_000
    send_file(session, file, digest(file))
    assert sftp_commands == ["put", "reput"]
    kept = tmp_path / "there" / "home" / "received" / digest(file)
    assert kept.read_bytes() == file.read_bytes()
    send_file(session, file, digest(file))
    assert len(sftp_commands) == 2

    part = kept.with_name(f"{digest(file)}.part")
    kept.rename(part)
    part.write_bytes(b"x" * 1000)  # of something else
    send_file(session, file, digest(file))
    assert kept.read_bytes() == file.read_bytes()
    file.write_bytes(os.urandom(1000))
    with pytest.raises(ft.RunError, match="has not the digest"):
        send_file(session, file, "0" * 64)


def test_a_folder_that_was_cut_is_fetched_on_by_another_call(
    machine: Callable[..., ft.SSH], tmp_path: Path, line: Any, sftp_commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, source = machine("smollm2-135m")._session, tmp_path / "their model"
    source.mkdir()
    (source / "weights.bin").write_bytes(os.urandom(3_000_000))
    (source / "empty.txt").touch()
    files = [entry(file) for file in sorted(source.iterdir())]
    target = tmp_path / "here"
    line.cut_after = 1_500_000
    monkeypatch.setattr(transfer, "PATIENCE_S", -1.0)
    with pytest.raises(ft.HostError, match="the connection to box is down"):
        fetch_folder(session, str(source), files, target, "run")
    assert not target.exists()
    monkeypatch.undo()
    fetch_folder(session, str(source), files, target, "run")
    assert sftp_commands == ["get"]
    assert {file.name: digest(file) for file in target.iterdir()} == {each["name"]: each["sha256"] for each in files}
    assert not list(tmp_path.glob(".here*"))


def test_a_folder_cannot_write_outside_of_its_own(machine: Callable[..., ft.SSH], tmp_path: Path) -> None:
    session = machine("smollm2-135m")._session
    for name in ("../escaped", "/etc/escaped", "a/../../escaped", ""):
        with pytest.raises(ft.RunError, match="outside of the model's folder"):
            fetch_folder(
                session, str(tmp_path), [{"name": name, "size": 1, "sha256": "0" * 64}], tmp_path / "new", "run"
            )
