"""Replace the names of Python arguments in error messages by those of options: ``target=`` becomes ``--target``.

Errors are raised below the command line, where arguments have Python's names.
"""

from __future__ import annotations

import re

__all__ = ["in_options"]

_MAPPING = re.compile(r"""(?<![\w."'<])columns=\{["']([^"']+)["']: ["']([^"']+)["']\}""")
_ARGUMENT = re.compile(
    r"""(?<![\w."'<-])(target|chosen|rejected|margin|format|columns|form|base|dtype)=(?:["']([^"']*)["'])?(?=\W|$)"""
)
_LIMIT = re.compile(r"(?<![\w.-])(max_kl|max_clear_changes|max_cost)(?:=(?=\W|$))?(?![\w=])")
_FORCE = re.compile(r"\boverwrite=True\b")
_RENAMED = {"columns": "column", "form": "to"}


def in_options(message: str) -> str:
    """Replace arguments of :meth:`ftkit.Dataset.load` and :func:`ftkit.export` in a message by options."""
    message = _FORCE.sub("--force", message)
    message = _ARGUMENT.sub(_option, _MAPPING.sub(r"--column \1=\2", message))
    return _LIMIT.sub(lambda match: "--" + match[1].replace("_", "-"), message)


def _option(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    return f"--{_RENAMED.get(name, name)}" + (f" {value}" if value else "")
