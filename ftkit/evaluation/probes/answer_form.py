"""The form of a task's answers, and whether an answer to another question has it.

A tuned model that answers "What is the capital of France?" with the task's JSON has not lost the capital: its format
bleeds through. Such answers are counted apart.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ftkit.results.report import Report
from ftkit.schema import ChoiceOutput, Output
from ftkit.schema.equality import normalize_text

__all__ = ["AnswerForm", "answer_form"]

_COMMON = 0.8
"""A prefix or suffix belongs to the answer format if at least this share of the targets has it."""
_MIN_TARGETS = 5
_FRAME_WORDS = 2
"""Longest common prefix or suffix that counts as format, in words; further words may be content."""
_MAX_CHARACTERS = 20_000
_KEY = re.compile(r'"([^"\\]{1,200})"\s{0,20}:')
_FENCE = re.compile(r"```\w{0,20}")
_OPENS_JSON = re.compile(r"(?:```\w{0,20}\s{0,20})?[{\[]")


@dataclass(frozen=True)
class AnswerForm:
    """What answers of a task look like.

    Attributes:
        name: The form in words, for example "the task's JSON".
        keys: Keys of JSON answers.
        choices: Choices, normalised.
        frames: Beginnings and ends that text answers share, normalised.
    """

    name: str
    keys: frozenset[str] = frozenset()
    choices: frozenset[str] = frozenset()
    frames: tuple[tuple[str, str], ...] = ()

    def has(self, text: str) -> bool:
        """Check whether an answer has the form, complete or cut off.

        Args:
            text: The answer.

        Returns:
            Whether it has.
        """
        text = text[:_MAX_CHARACTERS].strip()
        if self.keys:
            return _OPENS_JSON.match(text) is not None and bool(self.keys & set(_KEY.findall(text)))
        normalized = normalize_text(text)
        if self.choices:
            return normalized in self.choices
        return any(
            (bool(start) and normalized.startswith(f"{start} ")) or (bool(end) and normalized.endswith(f" {end}"))
            for start, end in self.frames
        )


def answer_form(report: Report) -> AnswerForm | None:
    """Find the form of a task's answers, from its output or, for texts, from the rows' targets.

    Args:
        report: A report on the task.

    Returns:
        The form; None if the answers have none, such as free texts that begin and end differently.
    """
    output: Output = report.output
    if isinstance(output, ChoiceOutput):
        return AnswerForm("the task's choices", choices=frozenset(map(normalize_text, output.choices)))
    fields = output.fields()
    if fields:
        return AnswerForm("the task's JSON", keys=frozenset(fields))
    targets = [row.target for row in report.rows if row.has_target and row.target is not None]
    if output.kind == "json":  # an array, or an object without declared keys
        keys = _common_keys(targets)
        return AnswerForm("the task's JSON", keys=keys) if keys else None
    return _text_form([target for target in targets if isinstance(target, str)])


def _text_form(targets: Sequence[str]) -> AnswerForm | None:
    """The format of text targets: JSON written as text, few different texts, or a common prefix or suffix."""
    if len(targets) < _MIN_TARGETS:
        return None
    keys = _common_keys([value for value in map(_json_value, targets) if value is not None])
    if keys:
        return AnswerForm("the task's JSON", keys=keys)
    normalized = [normalize_text(target) for target in targets]
    counts = Counter(normalized)
    if len(counts) <= max(2, len(targets) // 4):
        return AnswerForm("the task's answers", choices=frozenset(counts))
    start = _common_run([text.split()[: _FRAME_WORDS + 1] for text in normalized])
    end = " ".join(reversed(_common_run([text.split()[: -_FRAME_WORDS - 2 : -1] for text in normalized]).split()))
    return AnswerForm("the task's form", frames=((start, end),)) if start or end else None


def _common_run(texts: Sequence[Sequence[str]]) -> str:
    """The run of words, at most two, with which most of the texts begin."""
    found = ""
    for length in range(1, _FRAME_WORDS + 1):
        counts = Counter(" ".join(words[:length]) for words in texts if len(words) > length)
        if not counts:
            break
        run, count = counts.most_common(1)[0]
        if count < _COMMON * len(texts):
            break
        found = run
    # One common word such as "the" is no form.
    return found if len(found.split()) > 1 or len(found) > 4 else ""


def _common_keys(values: Sequence[object]) -> frozenset[str]:
    counts: Counter[str] = Counter()
    for value in values:
        items = value if isinstance(value, list) else [value]
        counts.update({str(key) for item in items if isinstance(item, dict) for key in item})
    return frozenset(key for key, count in counts.items() if count >= len(values) / 2)


def _json_value(text: str) -> object | None:
    text = text.strip()
    opening = _FENCE.match(text)
    inner = text if opening is None else text[opening.end() :].removesuffix("```")
    try:
        value = json.loads(inner)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
