from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ftkit.errors import ConfigError
from ftkit.schema import load_class, output_of

CODE = """
from __future__ import annotations
from pydantic import BaseModel
from neighbour import Name

class Visit(BaseModel):
    name: Name
    again: Visit | None = None

    class Inner(BaseModel):
        x: int
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shapes.py").write_text(CODE)
    (tmp_path / "neighbour.py").write_text("Name = str\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "needy.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name in ("shapes", "neighbour"):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["shapes:Visit", "shapes.py:Visit", "./shapes.py:Visit"])
def test_a_class_is_found_by_module_or_file(folder: Path, name: str) -> None:
    before = list(sys.path)
    output, kind = output_of(load_class(name))
    assert kind.__name__ == "Visit"
    assert list(output.fields()) == ["name", "again"]
    assert sys.path == before


def test_a_file_is_run_once_and_nested_classes_are_found(folder: Path) -> None:
    one = load_class(f"{folder / 'shapes.py'}:Visit")
    assert load_class("shapes.py:Visit") is one
    assert load_class("shapes.py:Visit.Inner") is one.Inner


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Visit", "is not the name of a class; write"),
        ("shapes:", "is not the name of a class"),
        ("shapes.py:Visti", 'has no "Visti"; its classes are Visit'),
        ("nowhere.py:Visit", 'there is no file "nowhere.py"'),
        ("nowhere:Visit", 'there is no module "nowhere"'),
        ("broken.py:Visit", "ZeroDivisionError"),
        ("needy.py:Visit", "a_package_that_is_not_there"),
        ("needy:Visit", "a_package_that_is_not_there"),
    ],
)
def test_what_cannot_be_loaded_is_said(folder: Path, name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_class(name)
