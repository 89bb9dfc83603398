"""The day that a chat template writes into prompts, as Llama 3's, gpt-oss's and Granite's do."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from functools import lru_cache

__all__ = ["pin_day", "writes_day"]

_LETTERS = "aAbBcCdDeFfgGhHIjklmMnpPrRsStTuUVwWxXyYzZ"
_FLAGS = ("", "-", "_", "0", "#", "^")
"""Of the C library: no padding, blanks, zeros; of Windows: no padding; upper case."""
_MACRO = """{%- macro strftime_now(format) -%}
{%- set written = WRITTEN -%}
{%- set state = namespace(is_text=true) -%}
{%- for piece in format.split('%') -%}
{%- if state.is_text -%}{{- piece -}}{%- set state.is_text = false -%}
{%- elif not piece -%}{{- '%' -}}{%- set state.is_text = true -%}
{%- else -%}
{%- set length = 2 if piece[0] in '-_0#^' else 1 -%}
{{- written.get(piece[:length], '%' ~ piece[:length]) ~ piece[length:] -}}
{%- endif -%}
{%- endfor -%}
{%- endmacro %}
"""
"""The line break after the last block belongs to the block."""


def writes_day(template: str) -> bool:
    """Say whether a chat template writes the date.

    Args:
        template: the Jinja template.

    Returns:
        Whether it calls transformers' function for it.
    """
    return "strftime_now" in template


@lru_cache(maxsize=8)
def pin_day(template: str, day: date) -> str:
    """Make a template write a day, so that it renders the same at any time.

    Args:
        template: the Jinja template.
        day: the day, at midnight.

    Returns:
        The template after a macro that takes the place of transformers' ``strftime_now``, also for formats that the
        template computes.
    """
    midnight = datetime.combine(day, time())
    directives = [flag + letter for flag in _FLAGS for letter in _LETTERS]
    written = {one: text for one in directives if (text := _written(midnight, f"%{one}")) is not None}
    return _MACRO.replace("WRITTEN", json.dumps(written)) + template


def _written(midnight: datetime, directive: str) -> str | None:
    """What a directive writes; None if the system does not know it."""
    try:
        return midnight.strftime(directive)
    except ValueError:
        return None
