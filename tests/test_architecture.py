"""The structure of the package: no import circles, and imports inside functions only where they keep a library out."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]

HEAVY = {
    *("torch", "transformers", "peft", "accelerate", "bitsandbytes", "gguf", "llguidance", "safetensors", "psutil"),
    *("numpy", "scipy", "sklearn", "pandas", "pyarrow", "rensa", "jinja2", "rich", "yaml", "jsonschema"),
    *("openai", "httpx", "tenacity", "starlette", "uvicorn", "prometheus_client", "filelock", "sqlite3"),
}
"""Libraries that only those may load who need them."""

LAZY: dict[str, str] = {
    "ftkit": "names are imported on first use, so that `import ftkit` is fast",
    "ftkit.cli": "a command imports what it needs, so that `ftkit --help` is fast (tests/cli/test_startup.py)",
}
"""Modules (with those below them) that may import ftkit inside functions, with the reason."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted((ROOT / "ftkit").rglob("*.py"))}


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Names of the modules that a statement imports, from the most specific on."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    name = node.module or ""
    return [sub if (sub := f"{name}.{alias.name}") in MODULES else name for alias in node.names]


class _Imports(ast.NodeVisitor):
    """The imports of a module that run when it is loaded, and those inside its functions."""

    def __init__(self) -> None:
        self.top: set[str] = set()
        self.inside: list[tuple[int, str]] = []
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - the name that ast calls

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.dump(node.test):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name in imported(node):
            if self._depth:
                self.inside.append((node.lineno, name))
            else:
                self.top.add(name)

    visit_ImportFrom = visit_Import  # noqa: N815


@cache
def imports_of(module: str) -> _Imports:
    found = _Imports()
    found.visit(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    return found


@cache
def loaded_libraries(module: str) -> frozenset[str]:
    """Every library that is loaded when a module of ftkit is imported."""
    seen, libraries, queue = {module}, set(), [module]
    while queue:
        for name in imports_of(queue.pop()).top:
            if name.partition(".")[0] != "ftkit":
                libraries.add(name.partition(".")[0])
                continue
            parts = name.split(".")
            for end in range(2, len(parts) + 1):  # importing a module imports its packages
                each = ".".join(parts[:end])
                if each in MODULES and each not in seen:
                    seen.add(each)
                    queue.append(each)
    return frozenset(libraries)


def circles() -> list[list[str]]:
    """Groups of modules that import each other, imports for type checkers included (Tarjan's algorithm)."""
    graph = grimp.build_graph("ftkit", cache_dir=None)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        # The imports of ``ftkit`` itself are for type checkers: it loads names on first use.
        for other in graph.find_modules_directly_imported_by(module) - {"ftkit"}:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph.modules - {"ftkit"}):
        if module not in index:
            visit(module)
    return found


def test_no_modules_import_each_other() -> None:
    assert circles() == []


@pytest.mark.parametrize("room", sorted({name.split(".")[1] for name in MODULES if "." in name}))
def test_an_import_inside_a_function_keeps_a_heavy_library_out(room: str) -> None:
    wrong = [
        f"{MODULES[module].relative_to(ROOT)}:{line} imports {name}"
        for module in MODULES
        if module.split(".")[1:2] == [room] and not any(f"{module}.".startswith(f"{lazy}.") for lazy in list(LAZY)[1:])
        for line, name in imports_of(module).inside
        if name.partition(".")[0] == "ftkit" and not loaded_libraries(name) & HEAVY - loaded_libraries(module)
    ]
    assert not wrong, "\n".join(wrong)
