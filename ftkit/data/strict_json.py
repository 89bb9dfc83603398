"""Strict JSON for rows: duplicate keys, NaN and lone surrogates are errors, which Python's parser accepts.

Also the canonical JSON of a row, from which ids and fingerprints are computed.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ftkit.data.unusable_value import UnusableValue
from ftkit.errors import DataError, Place
from ftkit.schema.json_text import MAX_DEPTH
from ftkit.schema.json_values import is_nested_deeper

__all__ = ["canonical_json", "decode_utf8", "parse_json", "parse_json_object", "parse_json_objects"]


class _RefusedError(ValueError):
    """A problem that a hook of the decoder found; becomes a :class:`DataError` that names the place."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedError("this key is twice in one object; keep one of them", key)
            seen.add(key)
    return value


def _constant(name: str) -> Any:
    raise _RefusedError(f"{name} is not JSON; write null or leave the key out")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _RefusedError(f"the number {text[:40]} is too large for a 64-bit float")
    return number


_TOO_DEEP = f"nested too deeply: more than {MAX_DEPTH} levels"
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)


def _unusable(value: Any) -> Any:
    if isinstance(value, UnusableValue):
        return {"unusable": value.content}
    raise TypeError(f"{type(value).__name__} is not JSON")


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_unusable
)


def canonical_json(value: Any) -> str:
    """Return one text for equal values: sorted keys, no spaces, no escapes for non-ASCII characters.

    Args:
        value: JSON data. A value that JSON cannot hold counts by its content.

    Returns:
        The text.
    """
    return _ENCODER.encode(value)


def decode_utf8(raw: bytes, place: Place, offset: int) -> str:
    """Decode the bytes of a row.

    Args:
        raw: the bytes of one row.
        place: of the row, for the error.
        offset: of the first byte of ``raw`` in its file, from 0.

    Returns:
        The text.

    Raises:
        DataError: the bytes are not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = error.start
        raise DataError(
            f"not UTF-8: byte 0x{raw[bad]:02x} at byte {bad + 1} of the row (offset {offset + bad} of the file). "
            "Save the file as UTF-8.",
            place=place,
        ) from None


def parse_json(text: str, place: Place, field: str | None = None) -> Any:
    """Parse a text that is one JSON value.

    Args:
        text: the text.
        place: of the row, for errors.
        field: name of the column that holds the text; None if it is the whole row.

    Returns:
        The value.

    Raises:
        DataError: the text is not JSON, or has a duplicate key, NaN, an infinite number or half of a surrogate pair.
    """
    try:
        value = _DECODER.decode(text)
    except _RefusedError as refused:
        inside = refused.key or _path_of_constant(text)
        raise DataError(refused.message, place=place, field=".".join(filter(None, (field, inside))) or None) from None
    except json.JSONDecodeError as error:
        raise DataError(_explain(text, error), place=place, field=field) from None
    except ValueError:  # int() refuses numbers of thousands of digits
        raise DataError("a number with too many digits", place=place, field=field) from None
    except RecursionError:
        raise DataError(_TOO_DEEP, place=place, field=field) from None
    if text.count("{") + text.count("[") > MAX_DEPTH and is_nested_deeper(value):
        raise DataError(_TOO_DEEP, place=place, field=field)
    if "\\u" in text:
        _refuse_surrogates(value, place, field)
    return value


def parse_json_objects(text: str, place: Place) -> list[dict[str, Any]]:
    """Parse a text of JSON objects, one after the other, with any white space between them.

    Args:
        text: the text.
        place: of the text, for errors.

    Returns:
        The objects.

    Raises:
        DataError: the text is something else.
    """
    found, at = [], _next(text, 0)
    while at < len(text):
        try:
            _, end = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            end = len(text)  # what is wrong is said by the strict parser
        value = parse_json(text[at:end], place)
        if not isinstance(value, dict):
            raise DataError(f"must be a JSON object, this is {_kind(value)}", place=place)
        found.append(value)
        at = _next(text, end)
    return found


def _next(text: str, at: int) -> int:
    """The place of the next character that is no white space."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def parse_json_object(raw: bytes, place: Place, offset: int) -> dict[str, Any]:
    """Parse the bytes of a row, which are one JSON object.

    Args:
        raw: the bytes of one row.
        place: of the row, for errors.
        offset: of the first byte of ``raw`` in its file, from 0.

    Returns:
        The object.

    Raises:
        DataError: the bytes are not UTF-8, not JSON, or not an object.
    """
    text = decode_utf8(raw, place, offset)
    if "\ufeff" in text:  # a byte-order mark begins or follows a row where files were joined
        text = text.strip("\ufeff \t\r\n")
    value = parse_json(text, place)
    if not isinstance(value, dict):
        hint = '; write them as {"messages": [...]}' if _is_messages(value) else ""
        raise DataError(f"a row must be a JSON object, this is {_kind(value)}{hint}", place=place)
    return value


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(item, dict) and ("role" in item or "from" in item) for item in value
    )


def _path_of_constant(text: str) -> str | None:
    """The path of the first NaN or infinity in a text that is JSON but for these."""
    try:
        pending: list[tuple[Any, str]] = [(json.loads(text), "")]
    except (ValueError, RecursionError):
        return None
    while pending:
        value, path = pending.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return path or None
        if isinstance(value, dict):
            below = [(item, f"{path}.{key}" if path else key) for key, item in value.items()]
        elif isinstance(value, list):
            below = [(item, f"{path}[{number}]") for number, item in enumerate(value)]
        else:
            continue
        pending += reversed(below)
    return None


def _refuse_surrogates(value: Any, place: Place, field: str | None) -> None:
    try:
        canonical_json(value).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(
            f"{half} is half of a surrogate pair and no character; the text was cut in the middle of one",
            place=place,
            field=field,
        ) from None


def _explain(text: str, error: json.JSONDecodeError) -> str:
    at = f"character {error.pos + 1}"
    if not text.strip():
        return "empty, but JSON was expected"
    if "\0" in text:
        return f"not JSON: a NUL byte at character {text.index(chr(0)) + 1}; the file was cut off or is UTF-16"
    if error.msg == "Extra data" and text[error.pos :].strip() == ",":
        return "a comma follows the row; JSON Lines has none between rows, so delete it"
    if error.msg == "Extra data":
        return f"more than one JSON value in the row (the second begins at {at}); write one object a line"
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return (
            f"not JSON: it ends too early ({error.msg} at {at}); the row was cut off, or is spread over several lines"
        )
    return f"not JSON: {error.msg} at {at}, near {text[max(0, error.pos - 10) : error.pos + 20]!r}"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if _is_messages(value):
        return "a list of messages"
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
