"""The day that a chat template writes into prompts, as Llama 3's, gpt-oss's and Granite's do."""

from __future__ import annotations

import re
from datetime import date, datetime, time

__all__ = ["pin_day", "writes_day"]

_FORMAT = re.compile(r"strftime_now\(\s*(?:'([^'\\]*)'|\"([^\"\\]*)\")\s*\)")


def writes_day(template: str) -> bool:
    """Say whether a chat template writes the date.

    Args:
        template: the Jinja template.

    Returns:
        Whether it calls transformers' function for it.
    """
    return "strftime_now" in template


def pin_day(template: str, day: date) -> str:
    """Write a day into a template, so that it renders the same at any time.

    Args:
        template: the Jinja template.
        day: the day, at midnight.

    Returns:
        The template, in which the calls of ``strftime_now`` with a constant format are replaced by their texts.
    """
    midnight = datetime.combine(day, time())

    def text(match: re.Match[str]) -> str:
        written = midnight.strftime(match[1] if match[1] is not None else match[2])
        return '"' + written.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    return _FORMAT.sub(text, template)
