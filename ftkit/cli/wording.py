"""Errors in the words of the command line: what Python code calls ``target=`` is ``--target`` here."""

from __future__ import annotations

import re

__all__ = ["in_options"]

_MAPPING = re.compile(r"""(?<![\w."'<])columns=\{["']([^"']+)["']: ["']([^"']+)["']\}""")
_ARGUMENT = re.compile(
    r"""(?<![\w."'<-])(target|chosen|rejected|margin|format|columns)=(?:["']([^"']*)["'])?(?=\W|$)"""
)
_CALLED = {"columns": "column"}


def in_options(message: str) -> str:
    """``message`` with the arguments of :meth:`ftkit.Dataset.load` as the options of that name."""
    return _ARGUMENT.sub(_option, _MAPPING.sub(r"--column \1=\2", message))


def _option(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    return f"--{_CALLED.get(name, name)}" + (f" {value}" if value else "")
