r"""Parse a model's text as exactly one JSON value, and explain why it is not one.

Stricter than :func:`json.loads`: repeated keys, ``NaN`` and ``Infinity``, numbers beyond a float, and escapes that are
not a character (``\ud800``) are refused, because the value could not be written again as it was.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from ftkit.errors import OutputError

__all__ = ["MAX_DEPTH", "read_json"]

MAX_DEPTH = 100
"""Maximum depth of arrays and objects. Models that repeat brackets in a loop go far beyond it."""

_FENCE = re.compile(r"^[^\S\n]*(```|~~~)", re.MULTILINE)  # \s here would take quadratic time on empty lines
# What can be left at the end of a text that stops in the middle of a literal, a number or a \\u escape.
_HALF_TOKEN = re.compile(r"(-|t|tr|tru|f|fa|fal|fals|n|nu|nul|\.|[eE][+-]?|\\?u[0-9a-fA-F]{0,4}|\\)\Z")


class _RefusedError(Exception):
    """Raised inside the decoder's hooks, which cannot know the whole text."""


def read_json(text: str) -> Any:
    """Parse a text that is one JSON value. Whitespace around it is allowed, anything else is not.

    Args:
        text: the text.

    Returns:
        The value.

    Raises:
        OutputError: ``not_json``, whose message says why: empty, fenced, text before or after, cut off, …
    """
    body = text.strip()
    if not body:
        raise OutputError("not JSON: the answer is empty", problem="not_json", text=text)
    try:
        value = _decode(body)
    except (_RefusedError, json.JSONDecodeError) as error:
        why = str(error) if isinstance(error, _RefusedError) else _diagnose(body, error)
    except RecursionError:
        why = f"nested more than {MAX_DEPTH} deep"
    except ValueError:  # the only other one: Python refuses to convert integers of thousands of digits
        why = "a number has too many digits"
    else:
        return value
    raise OutputError(f"not JSON: {why}", problem="not_json", text=text) from None


def _decode(body: str) -> Any:
    value, end = _DECODER.raw_decode(body)
    if body[end:]:
        raise _RefusedError(_leftover(body, end))
    _check(value)
    return value


def _diagnose(body: str, error: json.JSONDecodeError) -> str:
    if _FENCE.match(body):
        return "it is wrapped in a Markdown fence (```); the answer must be the JSON alone"
    rest = body[error.pos :]
    if not rest or error.msg.startswith("Unterminated string") or _HALF_TOKEN.match(rest):
        return f"cut off after {len(body)} characters, before the JSON value ends"
    if error.pos == 0 and body[0] not in "{[":
        if _FENCE.search(body):
            return f"it has text before a Markdown fence: {_shown(body)}; the answer must be the JSON alone"
        if "{" in body or "[" in body:
            return f"it has text before the JSON value: {_shown(body)}"
        return f"it is plain text: {_shown(body)}"
    reason = error.msg[0].lower() + error.msg[1:]
    return f"{reason} at line {error.lineno}, column {error.colno}: {_shown(rest)}"


def _leftover(body: str, end: int) -> str:
    rest = body[end:].lstrip()
    if _HALF_TOKEN.match(rest):
        return f"cut off after {len(body)} characters, before the JSON value ends"
    if rest.startswith(("```", "~~~")):
        return "it ends with a Markdown fence (```); the answer must be the JSON alone"
    return f"it has text after the JSON value: {_shown(rest)}"


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= 40 else text[:40] + "…", ensure_ascii=False)


def _check(root: Any) -> None:
    """Refuse depth beyond :data:`MAX_DEPTH` and strings that UTF-8 cannot hold. A loop, as recursion could overflow."""
    pending: list[tuple[Any, int]] = [(root, 0)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, str):
            if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
                raise _RefusedError(f"an escape in {json.dumps(value)[:60]} is half of a surrogate pair")
        elif isinstance(value, dict | list):
            if depth == MAX_DEPTH:
                raise _RefusedError(f"nested more than {MAX_DEPTH} deep")
            if isinstance(value, dict):
                pending.extend((key, depth) for key in value)
            pending.extend((item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key in result if counts[key] > 1)
        raise _RefusedError(f"the key {json.dumps(twice, ensure_ascii=False)} is there more than once")
    return result


def _constant(name: str) -> Any:
    raise _RefusedError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _RefusedError(f"the number {digits[:40]} is too large")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_finite)
