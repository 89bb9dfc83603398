"""JSON with something around it: what it is, and the JSON alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from ftkit.errors import OutputError
from ftkit.schema.json_text import read_json

__all__ = ["Wrapping", "wrapping_of"]

_FENCED = re.compile(r"\A\s*(?:```|~~~)[ \t]*[\w+-]*[ \t]*\r?\n?(.*?)\r?\n?[ \t]*(?:```|~~~)\s*\Z", re.DOTALL)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Wrapping:
    """``kind``: a Markdown fence with nothing else around it, or other text. ``inside`` is the JSON as written."""

    kind: Literal["fence", "text"]
    inside: str
    around: str


def wrapping_of(text: str | None) -> Wrapping | None:
    """What stands around the one JSON object or list in ``text``; None when it is JSON alone, or none is there."""
    if text is None or ("{" not in text and "[" not in text):
        return None
    body = text.strip()
    if body[0] in "{[" and body[-1] in "}]" and _is_json(body):
        return None
    fenced = _FENCED.match(text)
    if fenced is not None and _is_json(fenced[1]):
        return Wrapping("fence", fenced[1].strip(), "")
    for start in (match.start() for match in re.finditer(r"[{\[]", body)):
        try:
            value, end = _DECODER.raw_decode(body, start)
        except (ValueError, RecursionError):
            continue
        # A bracketed remark in prose is no answer: only an object with keys, or a list that fills most of the text.
        if isinstance(value, dict) and value and (end - start) * 2 > len(body):
            return Wrapping("text", body[start:end], (body[:start] + " … " + body[end:]).strip())
        return None
    return None


def _is_json(text: str) -> bool:
    try:
        return isinstance(read_json(text), dict | list)
    except OutputError:
        return False
