"""Backends by name, built in and plugged in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends import Backend, backend_of
from ftkit.backends.openai_jobs import HostProfile
from ftkit.backends.registry import BACKENDS, HOSTS


def test_a_name_and_a_model() -> None:
    local = backend_of("local:smollm2-135m")
    assert isinstance(local, Backend)
    assert (local.name, local.model) == ("local", "smollm2-135m")
    assert backend_of("local:smollm2-135m") is local
    assert backend_of(local) is local
    # Everything after the first colon is the model's name.
    assert backend_of("local:/models/a:b").model == "/models/a:b"


@pytest.mark.parametrize("spec", ["local", "local:", ""])
def test_another_form_is_refused(spec: str) -> None:
    with pytest.raises(ft.ConfigError, match='"name:model"'):
        backend_of(spec)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ft.ConfigError, match=r"no backend 'moon'; known are .*local"):
        backend_of("moon:base")


def test_others_plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ftkit_moon.py").write_text(
        "class Moon:\n    name = 'moon'\n    def __init__(self, model):\n        self.model = model\n"
    )
    info = tmp_path / "ftkit_moon-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ftkit-moon\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ftkit.backends]\nmoon2 = ftkit_moon:Moon\nbroken = ftkit_moon:Sun\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert backend_of("moon2:crater").model == "crater"
    with pytest.raises(ft.ConfigError, match=r"'broken' \(ftkit_moon:Sun\) cannot be loaded"):
        backend_of("broken:crater")


def install(folder: Path, name: str, points: str, module: str = "") -> None:
    (folder / f"{name}.py").write_text(module)
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(points)


def test_no_package_replaces_a_host_or_backend_of_ftkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = "[ftkit.backends]\nopenai = thief:Thief\n[ftkit.hosts]\ntogether = thief:Thief\n"
    install(tmp_path, "thief", points, "class Thief:\n    def __init__(self, model):\n        self.model = model\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(backend_of("openai:thieved")).__name__ == "OpenAIJobs"
    assert type(backend_of("together:thieved")).__name__ == "Together"
    assert BACKENDS.clashes() == [
        (
            "openai",
            "thief",
            "the backend 'openai' (thief:Thief) is left out: the name is one of ftkit's own",
        )
    ]
    for registry, name in ((BACKENDS, "azure"), (HOSTS, "local")):
        with pytest.raises(ft.ConfigError, match="one of ftkit's own"):
            registry.register(name, lambda model: None)  # type: ignore[arg-type]


def test_a_backend_that_cannot_be_created_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: str) -> Backend:
        raise KeyError(model)

    BACKENDS.register("unlucky", broken)
    try:
        with pytest.raises(ft.ConfigError, match="the backend 'unlucky' cannot be created: KeyError: 'm'"):
            backend_of("unlucky:m")
    finally:
        BACKENDS.unregister("unlucky")


def test_a_host_that_a_script_registers_again_replaces_the_first() -> None:
    try:
        for address in ("http://first.example/v1", "http://second.example/v1"):
            HOSTS.register("again", HostProfile("again", address, "AGAIN_URL", ("AGAIN_KEY",)))
            assert backend_of("again:m").url() == address  # type: ignore[union-attr]
            assert backend_of("again:m") is backend_of("again:m")
    finally:
        HOSTS.unregister("again")


@pytest.mark.parametrize(
    ("recipes", "support", "problem"),
    [
        (("sft", "unpaired"), {}, "does not send unpaired recipes to hosts; say in the profile's field_support"),
        (("sft",), {"unpaired": {}}, "field_support has unpaired, which the profile's recipes do not list"),
    ],
)
def test_a_profile_says_which_fields_of_its_own_recipes_it_supports(
    recipes: tuple[str, ...], support: dict[str, dict[str, Any]], problem: str
) -> None:
    profile = HostProfile("odd", "http://odd.example/v1", "U", ("K",), recipes=recipes, field_support=support)
    with pytest.raises(ft.ConfigError, match=problem):
        HOSTS.register("odd", profile)
