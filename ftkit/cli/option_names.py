"""Python arguments in error messages as command-line options: ``target=`` is ``--target``."""

from __future__ import annotations

from ftkit.error_text import Argument, ErrorText, error_text

__all__ = ["error_with_options"]

_OPTIONS = {"columns": "--column", "form": "--to", "overwrite": "--force"}
"""Options that have another name than their argument."""


def error_with_options(error: BaseException) -> str:
    """Return an error's message, in which options replace the Python arguments."""
    text = error_text(error)
    return text.format_arguments(_option) if isinstance(text, ErrorText) else text


def _option(argument: Argument) -> str:
    option = _OPTIONS.get(argument.name) or "--" + argument.name.replace("_", "-")
    return f"{option} {argument.value}" if argument.value else option
