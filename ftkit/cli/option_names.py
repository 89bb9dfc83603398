"""Errors in the words of the command line: what Python code calls ``target=`` is ``--target`` here."""

from __future__ import annotations

import re

__all__ = ["in_options"]

_MAPPING = re.compile(r"""(?<![\w."'<])columns=\{["']([^"']+)["']: ["']([^"']+)["']\}""")
_ARGUMENT = re.compile(
    r"""(?<![\w."'<-])(target|chosen|rejected|margin|format|columns|form|base|dtype)=(?:["']([^"']*)["'])?(?=\W|$)"""
)
_LIMIT = re.compile(r"(?<![\w.-])(max_kl|max_clear_changes|max_cost)(?:=(?=\W|$))?(?![\w=])")
_FORCE = re.compile(r"\boverwrite=True\b")
_CALLED = {"columns": "column", "form": "to"}


def in_options(message: str) -> str:
    """``message`` with arguments of :meth:`ftkit.Dataset.load` and :func:`ftkit.export` as the options of that name."""
    said = _FORCE.sub("--force", message)
    said = _ARGUMENT.sub(_option, _MAPPING.sub(r"--column \1=\2", said))
    return _LIMIT.sub(lambda found: "--" + found[1].replace("_", "-"), said)


def _option(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    return f"--{_CALLED.get(name, name)}" + (f" {value}" if value else "")
