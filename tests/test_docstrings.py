"""Every public function documents each argument, what it returns and what it raises.

ruff checks the form of docstrings (rules D and DOC). It cannot see that a one-line docstring lacks its sections, which
this test does. List what is missing in a folder: ``python -m tests.test_docstrings ftkit/linting``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent / "ftkit"

EXEMPT_DECORATORS = {
    "property", "cached_property", "computed_once", "computed_field", "override", "overload", "setter", "deleter",
    "field_validator", "model_validator", "field_serializer", "model_serializer", "validator",
}  # fmt: skip
"""Properties read as attributes; an override has its base's docstring; pydantic calls its validators itself."""

EXEMPT_FOLDERS = ("cli",)
"""A command's docstring is its help text, and its options carry their own."""


def test_every_public_function_documents_its_arguments_and_its_result():
    missing = [line for path in sorted(ROOT.rglob("*.py")) for line in problems(path)]
    assert not missing, "\n".join(missing)


def problems(path: Path) -> Iterator[str]:
    if path.relative_to(ROOT).parts[0] in EXEMPT_FOLDERS:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in public_functions(tree.body):
        for problem in missing_sections(function):
            yield f"{path.relative_to(ROOT.parent)}:{function.lineno}: {function.name}: {problem}"


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.name.startswith("_")
            and not EXEMPT_DECORATORS & {name_of(one) for one in node.decorator_list}
        ):
            yield node


def name_of(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call):
        return name_of(decorator.func)
    if isinstance(decorator, ast.Attribute):
        return decorator.attr
    return decorator.id if isinstance(decorator, ast.Name) else ""


def missing_sections(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    text = ast.get_docstring(function) or ""
    if not text:
        yield "no docstring"
        return
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [one.arg for one in (given.vararg, given.kwarg) if one is not None]
    for name in names:
        if name not in {"self", "cls"} and not name.startswith("_") and not documented(text, name):
            yield f"Args lacks {name}"
    returned = ast.unparse(function.returns) if function.returns is not None else "None"
    if returned not in {"None", "NoReturn", "Never"} and not re.search(r"^(Returns|Yields):$", text, re.MULTILINE):
        yield "no Returns section"


def documented(text: str, name: str) -> bool:
    """Whether the section Args has a line for the argument; several may share one: ``low, high: the bounds``."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", text, re.MULTILINE)
    return section is not None and bool(
        re.search(
            rf"^[ \t]+(?:\*{{0,2}}\w+, )*\*{{0,2}}{re.escape(name)}(?:, \*{{0,2}}\w+)*(?: \(.*\))?:",
            section[1],
            re.MULTILINE,
        )
    )


if __name__ == "__main__":
    folders = [Path(one).resolve() for one in sys.argv[1:]] or [ROOT]
    found = [
        line
        for folder in folders
        for path in ([folder] if folder.is_file() else sorted(folder.rglob("*.py")))
        for line in problems(path)
    ]
    sys.stdout.write("\n".join([*found, f"{len(found)} missing"]) + "\n")
