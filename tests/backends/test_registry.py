"""Backends by name, built in and plugged in."""

from __future__ import annotations

from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends import Backend, backend_of


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
