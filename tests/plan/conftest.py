"""A machine whose speed is known, so that only tests of measuring measure it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends import backend_of


@pytest.fixture(scope="session")
def measured_speed(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> dict[str, Any]:
    """What ``speed.json`` holds after one measurement, without the mark of a busy machine."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTKIT_HOME", str(folder))
        rows = ft.Dataset.from_rows([{"q": "1", "a": "2"}] * 2, ft.Task("Add one.", input="{q}"), target="a")
        recipe = ft.SFT(epochs=1, batch_size=2, adapter=ft.LoRA(rank=4), precision="fp32")
        backend_of(f"local:{tiny_model}").estimate(recipe, rows, None)
    known = json.loads((folder / "speed.json").read_text())
    return {machine: {key: one for key, one in numbers.items() if key != "busy"} for machine, numbers in known.items()}


@pytest.fixture
def known_speed(measured_speed: dict[str, Any], ftkit_home: Path) -> None:
    """A home in which the machine was measured."""
    (ftkit_home / "speed.json").write_text(json.dumps(measured_speed))
