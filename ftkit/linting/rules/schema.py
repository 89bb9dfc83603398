"""J: answers against the task's schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from typing_extensions import override

from ftkit.errors import OutputError
from ftkit.linting.context import LintContext
from ftkit.linting.enum_spelling import allowed_spelling, respelled_fields
from ftkit.linting.finding import RuleFinding
from ftkit.linting.json_answers import find_wrapping
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import RowRule
from ftkit.linting.text_normalization import excerpt
from ftkit.schema import ChoiceOutput, JsonOutput

_MIN_KEY_SIMILARITY = 0.8


class _SchemaRule(RowRule):
    """A rule on answers that the task's output refuses."""

    severity = "error"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.task.output.kind == "text" else None


def _problems(view: RowView) -> list[OutputError]:
    """Every problem of the answer; the error of the row names only the first."""
    first = view.output_error
    if first is None:
        return []
    text = view.answer_text
    return (view.task.output.problems(text) if text is not None else []) or [first]


def _parent(path: str) -> tuple[str, str]:
    """``$.a.b`` as ``("$.a", "b")``."""
    match = re.fullmatch(r"(.*?)(?:\.([^.\[\]]+)|\[\"(.*)\"\])", path, re.DOTALL)
    return (match[1], match[2] or match[3] or "") if match else (path, "")


def _are_similar_keys(first: str, second: str) -> bool:
    left, right = (re.sub(r"[\W_]+", "", name).casefold() for name in (first, second))
    return left == right or SequenceMatcher(None, left, right).ratio() >= _MIN_KEY_SIMILARITY


def _near_misses(problems: list[OutputError]) -> dict[str, str]:
    """Paths of extra keys that are probably a misspelt missing key, with the path of the missing key."""
    missing = [error.path for error in problems if error.problem == "missing_field"]
    misspelt: dict[str, str] = {}
    for error in problems:
        if error.problem != "extra_field":
            continue
        parent, name = _parent(error.path)
        for path in missing:
            if (
                path not in misspelt.values()
                and _parent(path)[0] == parent
                and _are_similar_keys(name, _parent(path)[1])
            ):
                misspelt[error.path] = path
                break
    return misspelt


def _answer_excerpt(view: RowView) -> str | None:
    return None if view.answer_text is None else excerpt(view.answer_text, width=100)


class NotJson(_SchemaRule):
    """The answer is not JSON.

    The task expects a JSON answer, and the answer of this row is not JSON: it is cut off, broken, or plain text. A
    model trained on it learns to break the format.

    Markdown fences and text around the JSON have their own rules (C008, C009).
    """

    code = "J001"
    name = "not-json"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if context.task.output.kind == "json" else ""

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for error in _problems(view):
            if (
                error.problem == "not_json"
                and (view.answer_text or "").strip()
                and find_wrapping(view.answer_text) is None
            ):
                yield RuleFinding(error.message, "$", _answer_excerpt(view))


class SchemaViolation(_SchemaRule):
    """A value is outside the range, length or pattern of the schema.

    A value has the right type but is not allowed: it is below the minimum, too long, or does not match the pattern.
    A model trained on it gives answers that the schema refuses. The message names the JSON path.

    Correct the value, or the schema if the value is right.
    """

    code = "J002"
    name = "schema-violation"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for error in _problems(view):
            if error.problem == "invalid_value" and not error.allowed:
                yield RuleFinding(error.message, error.path, _answer_excerpt(view))


class ExtraField(_SchemaRule):
    """The answer has a key that is not in the schema.

    The answer has a key that is not in the schema. A model trained on it invents keys.

    Remove the key, or add it to the schema. If it is probably a misspelt key, J006 reports it instead.
    """

    code = "J003"
    name = "extra-field"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        problems = _problems(view)
        misspelt = _near_misses(problems)
        for error in problems:
            if error.problem == "extra_field" and error.path not in misspelt:
                yield RuleFinding(error.message, error.path, _answer_excerpt(view))


class MissingField(_SchemaRule):
    """The answer lacks a required key.

    The answer lacks a key that the schema requires. A model trained on it omits keys.

    Add the key, with null if there is no value and the schema allows null, or make the key optional. Defaults of a
    Python class are filled in and not reported.
    """

    code = "J004"
    name = "missing-field"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        problems = _problems(view)
        misspelt = set(_near_misses(problems).values())
        for error in problems:
            if error.problem == "missing_field" and error.path not in misspelt:
                yield RuleFinding(error.message, error.path, _answer_excerpt(view))


class WrongType(_SchemaRule):
    """A value has the wrong JSON type.

    A value has another type than the schema says, for example ``"39"`` instead of a number, or ``"null"`` instead of
    null. Mixed types are among the most frequent contradictions in extraction data.

    Write the value in the type of the schema.
    """

    code = "J005"
    name = "wrong-type"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for error in _problems(view):
            if error.problem == "wrong_type":
                yield RuleFinding(error.message, error.path, _answer_excerpt(view))


class NearMissKey(_SchemaRule):
    """A key is spelt slightly differently from the schema's.

    A missing key and an extra key are similar, such as ``patientName`` and ``patient_name``, a plural, or a typing
    mistake. Two spellings of one key split what the model learns.

    Rename the key. Checks keys of the same object, one missing and one extra, that have the same letters, or four
    fifths of them.
    """

    code = "J006"
    name = "near-miss-key"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for extra, missing in _near_misses(_problems(view)).items():
            yield RuleFinding(f"did you mean {_parent(missing)[1]!r}?", extra, _answer_excerpt(view))


class InvalidEnum(_SchemaRule):
    """The value is not one of the allowed values.

    The value is not one of those that the schema or the task's choices allow. If only case or whitespace differ, the
    message says so, and ``--fix`` writes the spelling of the schema if the value is the whole answer or a top-level
    field.

    Otherwise correct the value, or allow it.
    """

    code = "J007"
    name = "invalid-enum"
    fixable = True

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if not (view.answer_text or "").strip():
            return
        for error in _problems(view):
            if error.problem == "invalid_value" and error.allowed:
                yield RuleFinding(
                    error.message, error.path, _answer_excerpt(view), fixable=_has_allowed_spelling(view, error.path)
                )


def _has_allowed_spelling(view: RowView, path: str) -> bool:
    """Whether ``--fix`` can give the value at ``path`` an allowed spelling."""
    output, text = view.task.output, view.answer_text or ""
    if isinstance(output, ChoiceOutput):
        return allowed_spelling(text, output.choices) is not None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    top, name = _parent(path)
    return (
        top == "$"
        and isinstance(output, JsonOutput)
        and isinstance(value, dict)
        and (name in respelled_fields(value, output))
    )
