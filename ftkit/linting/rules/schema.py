"""J: answers against the task's schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from ftkit.errors import OutputError
from ftkit.linting.context import Setting
from ftkit.linting.finding import Found
from ftkit.linting.json_wrapping import wrapping_of
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule
from ftkit.linting.spelling_variants import respelt, respelt_fields
from ftkit.linting.text_normalization import excerpt
from ftkit.schema import ChoiceOutput, JsonOutput

__all__ = [
    "ExtraField",
    "InvalidEnum",
    "MissingField",
    "NearMissKey",
    "NotJson",
    "SchemaViolation",
    "WrongType",
]

_CLOSE = 0.8


class _SchemaRule(RowRule):
    """A row whose answer the task's output refuses."""

    severity = "error"

    def wants(self, setting: Setting) -> str | None:
        return "" if setting.task.output.kind == "text" else None


def _problems(seen: Seen) -> list[OutputError]:
    """All that is wrong with the answer; the error that made the row unusable names only the first."""
    first = seen.output_error
    if first is None:
        return []
    text = seen.wanted
    return (seen.task.output.problems(text) if text is not None else []) or [first]


def _parent(path: str) -> tuple[str, str]:
    """``$.a.b`` as ``("$.a", "b")``."""
    match = re.fullmatch(r"(.*?)(?:\.([^.\[\]]+)|\[\"(.*)\"\])", path, re.DOTALL)
    return (match[1], match[2] or match[3] or "") if match else (path, "")


def _near(one: str, other: str) -> bool:
    mine, theirs = (re.sub(r"[\W_]+", "", name).casefold() for name in (one, other))
    return mine == theirs or SequenceMatcher(None, mine, theirs).ratio() >= _CLOSE


def _near_misses(problems: list[OutputError]) -> dict[str, str]:
    """Paths of extra keys that were most likely meant to be a missing one, with that one's path."""
    missing = [error.path for error in problems if error.problem == "missing_field"]
    found: dict[str, str] = {}
    for error in problems:
        if error.problem != "extra_field":
            continue
        parent, name = _parent(error.path)
        for path in missing:
            if path not in found.values() and _parent(path)[0] == parent and _near(name, _parent(path)[1]):
                found[error.path] = path
                break
    return found


def _shown(seen: Seen) -> str | None:
    return None if seen.wanted is None else excerpt(seen.wanted, width=100)


class NotJson(_SchemaRule):
    """The task wants a JSON answer, and the wanted answer of this row is not JSON: cut off, broken, or plain text. It
    would teach the model to break the format.

    Fences and text around the JSON have rules of their own (C008, C009).
    """

    code = "J001"
    name = "not-json"
    summary = "The answer is not JSON."

    def wants(self, setting: Setting) -> str | None:
        return None if setting.task.output.kind == "json" else ""

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for error in _problems(seen):
            if error.problem == "not_json" and (seen.wanted or "").strip() and wrapping_of(seen.wanted) is None:
                yield Found(error.message, "$", _shown(seen))


class SchemaViolation(_SchemaRule):
    """A value has the right type and is still not allowed: below the minimum, too long, against the pattern. A model
    trained on it gives answers that the schema refuses. The message names the JSON path.

    Mend the value, or the schema where the value is right.
    """

    code = "J002"
    name = "schema-violation"
    summary = "A value is outside the range, length or pattern that the schema allows."

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for error in _problems(seen):
            if error.problem == "invalid_value" and not error.allowed:
                yield Found(error.message, error.path, _shown(seen))


class ExtraField(_SchemaRule):
    """The answer has a key that the schema does not know. A model trained on it will invent keys.

    Take the key out, or add it to the schema. Where it is rather a misspelt one, J006 says so instead.
    """

    code = "J003"
    name = "extra-field"
    summary = "The answer has a key that the schema does not know."

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        problems = _problems(seen)
        near = _near_misses(problems)
        for error in problems:
            if error.problem == "extra_field" and error.path not in near:
                yield Found(error.message, error.path, _shown(seen))


class MissingField(_SchemaRule):
    """The answer lacks a key that the schema requires. A model trained on it will leave keys out.

    Add the key, with null where there is nothing and the schema allows it; or make it optional. A default of a Python
    class is filled in and not reported.
    """

    code = "J004"
    name = "missing-field"
    summary = "The answer lacks a required key."

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        problems = _problems(seen)
        near = set(_near_misses(problems).values())
        for error in problems:
            if error.problem == "missing_field" and error.path not in near:
                yield Found(error.message, error.path, _shown(seen))


class WrongType(_SchemaRule):
    """A value has another type than the schema says: ``"39"`` where a number is wanted, ``"null"`` for null. Mixed
    types are among the commonest contradictions in extraction data.

    Write the value in the schema's type.
    """

    code = "J005"
    name = "wrong-type"
    summary = "A value has the wrong JSON type."

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for error in _problems(seen):
            if error.problem == "wrong_type":
                yield Found(error.message, error.path, _shown(seen))


class NearMissKey(_SchemaRule):
    """A key that is missing and a key that is too many look alike: ``patientName`` for ``patient_name``, a plural, a
    slip of the keyboard. Two spellings of one key split what the model learns.

    Rename the key. Looked at are keys of one object of which one is missing and one too many: the same letters, or four
    fifths of them.
    """

    code = "J006"
    name = "near-miss-key"
    summary = "A key is spelt a little otherwise than the schema's."

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        for extra, missing in _near_misses(_problems(seen)).items():
            yield Found(f"did you mean {_parent(missing)[1]!r}?", extra, _shown(seen))


class InvalidEnum(_SchemaRule):
    """The value is none of those that the schema or the task's choices allow. Where only case or blanks differ, the
    message says so, and ``--fix`` writes it as the schema does where it is the whole answer or a field at its top.

    Else correct the value, or allow it.
    """

    code = "J007"
    name = "invalid-enum"
    summary = "The value is none of the allowed ones."
    fixable = True

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        if not (seen.wanted or "").strip():
            return
        for error in _problems(seen):
            if error.problem == "invalid_value" and error.allowed:
                yield Found(error.message, error.path, _shown(seen), fixable=_is_respelt(seen, error.path))


def _is_respelt(seen: Seen, path: str) -> bool:
    """Whether the value at ``path`` is an allowed one but for case and blanks, and stands where it can be mended."""
    output, text = seen.task.output, seen.wanted or ""
    if isinstance(output, ChoiceOutput):
        return respelt(text, output.choices) is not None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    top, name = _parent(path)
    return (
        top == "$"
        and isinstance(output, JsonOutput)
        and isinstance(value, dict)
        and (name in respelt_fields(value, output))
    )
