"""What is refused, and what is said of a line that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends import backend_of
from ftkit.backends.ssh import RemoteMachine, session
from tests.ssh.loopback import Loopback


@pytest.mark.parametrize(
    ("text", "destination", "model"),
    [
        ("box#Qwen/Qwen3-8B", "box", "Qwen/Qwen3-8B"),
        ("me@box.example:2222#smollm2-135m", "me@box.example:2222", "smollm2-135m"),
        ("me@[::1]:22?python=/opt/my%20env/bin/python&folder=/data/ftkit#/models/a#b", "me@[::1]:22", "/models/a#b"),
    ],
)
def test_a_name_says_the_machine_and_the_model_there(text: str, destination: str, model: str) -> None:
    backend: Any = backend_of(f"ssh:{text}")
    assert backend.machine.destination == destination
    assert backend.model == text
    assert RemoteMachine.split(backend.model) == (backend.machine, model)
    assert (
        ft.SSH(text).model
        == ft.SSH(destination, model, python=backend.machine.python, folder=backend.machine.folder).model
    )


@pytest.mark.parametrize(
    "text",
    [
        "box",
        "#m",
        "box#",
        "-oProxyCommand=x#m",
        "a b#m",
        "me@-x#m",
        "box;id#m",
        "box?host=x#m",
        "box?python=-c#m",
        "box:99999999#m",
        "box?python=%0A#m",
        "box?workers=0#m",
        "box?workers=x#m",
        "box?workers=2&workers=3#m",
        "box:0#m",
        "box:65536#m",
        "box#a\nb",
        "me:hunter2@box#m",
        "me:hunter2@box?host=x#m",
    ],
)
def test_what_is_no_machine_is_refused(text: str) -> None:
    with pytest.raises(ft.ConfigError) as refused:
        backend_of(f"ssh:{text}")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [{"workers": "2"}, {"workers": True}, {"workers": 1.5}, {"python": 3}, {"folder": 3}, {"strategy": 3}],
)
def test_wrong_values_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ft.ConfigError, match=next(iter(changes))):
        ft.SSH("box", "m", **changes)
    with pytest.raises(ft.ConfigError, match="machine"):
        ft.SSH(None, "m")  # type: ignore[arg-type]


def test_a_path_of_the_machine_may_be_a_path() -> None:
    assert ft.SSH("box", "m", folder=PurePosixPath("/data/ftkit")).model == "box?folder=/data/ftkit#m"


def test_an_unknown_host_key_is_refused_and_nothing_is_sent(machine: Callable[..., ft.SSH], sshd: Loopback) -> None:
    known = sshd.known_hosts.read_text()
    try:
        sshd.known_hosts.write_text("")
        with pytest.raises(ft.HostError, match=r"not known yet; nothing was sent\. Connect once by hand"):
            machine("smollm2-135m").known_task()
        other = known.split()
        sshd.known_hosts.write_text(f"{other[0]} {other[1]} AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}\n")
        with pytest.raises(ft.HostError, match=r"the host key is not the known one"):
            machine("smollm2-135m").known_task()
    finally:
        sshd.known_hosts.write_text(known)


def test_a_machine_that_was_never_reached_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_FIRST_PATIENCE_S", 0.0)
    with pytest.raises(ft.HostError, match=r"the connection to no-such-machine\.invalid is down") as failed:
        ft.SSH("no-such-machine.invalid", "smollm2-135m").known_task()
    assert failed.value.passing
