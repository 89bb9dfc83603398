"""The names of dataset formats in the help of ``--format``, from their registry.

The registry takes time to import, so it is asked only when a help text with the names is printed.
"""

from __future__ import annotations

from collections.abc import Mapping

from typer.core import TyperCommand, TyperGroup

__all__ = ["FORMAT_NAMES", "fill_in_format_names"]

FORMAT_NAMES = "{format names}"
"""Stands for the names in a help text."""


def fill_in_format_names(command: object) -> None:
    """Put the names of formats into the help of a command and of the commands below it.

    Args:
        command: a command or a group.
    """
    if isinstance(command, TyperGroup):
        below: Mapping[str, object] = command.commands
        for sub in below.values():
            fill_in_format_names(sub)
    if not isinstance(command, TyperCommand):
        return
    for option in command.params:
        text = getattr(option, "help", None)
        if isinstance(text, str) and FORMAT_NAMES in text:
            from ftkit.data.formats.registry import FORMATS

            option.help = text.replace(FORMAT_NAMES, ", ".join(FORMATS.names()))  # type: ignore[attr-defined]
