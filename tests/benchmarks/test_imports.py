"""Programs beside the package import only what it has; most of them run too long to be tests."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(path for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))


def names_of_ftkit(file: Path) -> list[tuple[int, str, str]]:
    """Line, module and name of each import from ftkit."""
    return [
        (node.lineno, node.module, alias.name)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ftkit"
        for alias in node.names
    ]


def has(module: str, name: str) -> bool:
    """Whether ``from module import name`` works."""
    if hasattr(importlib.import_module(module), name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_name_that_a_program_imports_exists(file: Path) -> None:
    missing = [f"{line}: {module}.{name}" for line, module, name in names_of_ftkit(file) if not has(module, name)]
    assert not missing
    attributes = [
        f"{node.lineno}: ft.{node.attr}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ft"
        if not has("ftkit", node.attr)
    ]
    assert not attributes
