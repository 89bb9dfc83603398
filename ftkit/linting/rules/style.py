"""C001 and C008–C012: how whole answers are written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole
from ftkit.linting.counter import Tally, rare
from ftkit.linting.finding import Found
from ftkit.linting.json_wrapping import wrapping_of
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule, TallyRule, not_installed
from ftkit.linting.text_normalization import excerpt

__all__ = ["KeyOrder", "MarkdownFence", "MixedLanguages", "RareKeys", "StyleDrift", "TextAround"]


class KeyOrder(RowRule, TallyRule):
    """The keys of the answer stand in another order than the schema's, or without a schema in another order than in
    most rows. A model writes keys in the order it has seen; two orders make it unsure after every value.

    Only answers that stand in conversations as text are looked at: from a column that ``target=`` names ftkit writes
    the schema's order itself. ``--fix`` writes the schema's order.
    """

    code = "C001"
    name = "key-order"
    summary = "The keys of the answer stand in an unusual order."
    fixable = True
    hurts = "consistent"

    def wants(self, setting: Setting) -> str | None:
        return None if setting.options.target is None and setting.options.chosen is None else ""

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        if setting.task.output.kind != "json" or seen.value is None:
            return
        there = key_orders(seen.value)
        wanted = key_orders(json.loads(setting.task.output.format(seen.value)))
        for path, keys in there.items():
            first = next(
                (a for a, b in zip(keys, (k for k in wanted[path] if k in keys), strict=False) if a != b), None
            )
            if first is not None:
                yield Found(f"{first!r} stands elsewhere in the schema's order", path, excerpt(seen.answer, width=100))
                return

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        if setting.task.output.kind == "text" and isinstance(seen.value, dict):
            for path, keys in key_orders(seen.value).items():
                yield f"{path}\x1f{', '.join(sorted(keys))}", ", ".join(keys)

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for subject, ways in tally:
            usual, few = rare(ways, share=0.2, least=10)
            for way in few:
                for row in tally.rows(subject, way):
                    yield Found(
                        f"the keys stand as {way}; most rows have {usual}",
                        subject.split("\x1f")[0],
                        row=row,
                        fixable=False,
                    )


def key_orders(value: Any, path: str = "$") -> dict[str, list[str]]:
    """The keys of every object in ``value``, in order, by path."""
    found: dict[str, list[str]] = {}
    if isinstance(value, dict):
        found[path] = list(value)
        for name, item in value.items():
            found |= key_orders(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found |= key_orders(item, f"{path}[{number}]")
    return found


class _AroundJson(RowRule, TallyRule):
    """JSON with something around it, where most answers are JSON alone."""

    hurts = "consistent"
    kind = ""
    message = ""

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        if seen.output_error is None or setting.task.output.kind != "json":
            return
        wrapping = wrapping_of(seen.wanted)
        if wrapping is not None and wrapping.kind == self.kind:
            yield Found(self.message, "$", excerpt(wrapping.around or seen.wanted or "", width=100), severity="error")

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        if setting.task.output.kind == "text":
            wrapping = None if seen.value is not None else wrapping_of(seen.answer)
            yield "answers", "json" if seen.value is not None else wrapping.kind if wrapping else "other"

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for subject, ways in tally:
            if ways.get("json", 0) * 2 > sum(ways.values()) and self.kind in ways:
                for row in tally.rows(subject, self.kind):
                    yield Found(f"{self.message}; most answers are JSON alone", "$", row=row)


class MarkdownFence(_AroundJson):
    """The JSON is wrapped in a Markdown fence (three backquotes around it). A program that reads the answer
    as JSON fails, and the model learns to write fences now and then.

    ``--fix`` takes the fence away.
    """

    code = "C008"
    name = "markdown-fence"
    summary = "The JSON answer is wrapped in a Markdown fence."
    fixable = True
    kind = "fence"
    message = "the answer is wrapped in a Markdown fence"


class TextAround(_AroundJson):
    """There is text before or after the JSON: "Here is the record:", "Let me know if …". A program that reads the
    answer as JSON fails.

    Delete the text. ``--fix`` does not: only a person can tell that nothing is lost.
    """

    code = "C009"
    name = "text-around-json"
    summary = "Text stands before or after the JSON answer."
    kind = "text"
    message = "there is text around the JSON"


_LEAST_CHARACTERS = 60
_SURE = 0.9
_MOST_LOOKED_AT = 50_000


class MixedLanguages(TallyRule):
    """The answer is in another language than most answers and than the row's own question. Often a leftover of
    translation, or an assistant that slipped.

    Looked at: answers in plain text of 60 characters or more, by py3langid, where it is 90 % sure; of more than 50,000
    rows every second, third, … one. Translate the answer, or drop the row.
    """

    code = "C010"
    name = "mixed-languages"
    summary = "The answer is in another language than the question and most answers."
    hurts = "consistent"

    def wants(self, setting: Setting) -> str | None:
        return "" if setting.task.output.kind != "text" else not_installed("py3langid")

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        stride = 1 + sum(setting.rows.values()) // _MOST_LOOKED_AT
        if seen.number % stride == 0 and len(seen.answer) >= _LEAST_CHARACTERS and seen.value is None:
            language = _language(seen.answer)
            if language:
                yield "answers", language

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for subject, ways in tally:
            usual, few = rare(ways, share=0.1, least=20)
            for way in few:
                for row in tally.rows(subject, way):
                    if _language(whole.seen(row).input) != way:
                        yield Found(f"the answer looks like {way}, most are {usual}", "$", row=row)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _language(text: str) -> str | None:
    language, sure = _identifier().classify(text[:400])
    return str(language) if sure >= _SURE else None


_FILLER = re.compile(
    r"(?:sure|certainly|of course|absolutely|great question|as an ai|i hope this|here is|here's|thank you for)\b", re.I
)
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_MARKDOWN = re.compile(r"^\s{0,3}(?:#{1,6} |[-*+] |\d+[.)] )|\*\*\w", re.MULTILINE)
_FEATURES: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("ends with a full stop", "does not end with a full stop", lambda text: text[-1:] in ".!?…。"),
    ("begins with a capital", "begins with a small letter", lambda text: not text[:1].islower()),
    ("has Markdown", "has no Markdown", lambda text: bool(_MARKDOWN.search(text))),
    ("begins with a filler", "begins with no filler", lambda text: bool(_FILLER.match(text))),
    ("has emoji", "has no emoji", lambda text: bool(_EMOJI.search(text))),
)


class StyleDrift(TallyRule):
    """Nearly all answers share a habit, and this one does not: it ends without a full stop, has Markdown or emoji, or
    begins with "Sure!". A handful of such answers is enough to see the habit slip in production.

    Looked at: answers in plain text with two words or more; a habit is what 97 % of at least 50 answers share.
    Write the answer as the others are written, unless the exception is meant.
    """

    code = "C011"
    name = "style-drift"
    summary = "The answer lacks a habit that nearly all others share."
    severity = "info"
    hurts = "consistent"

    def wants(self, setting: Setting) -> str | None:
        return "" if setting.task.output.kind != "text" else None

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        answer = seen.answer.strip()
        if seen.value is not None or " " not in answer:
            return
        for yes, no, test in _FEATURES:
            yield yes, yes if test(answer) else no

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for subject, ways in tally:
            _, few = rare(ways, share=0.03, least=50)
            for way in few:
                for row in tally.rows(subject, way):
                    yield Found(f"the answer {way}, as only {ways[way]:,} of {sum(ways.values()):,} do", "$", row=row)


class RareKeys(TallyRule):
    """Answers are JSON objects, there is no schema, and this one has other keys than nearly all: a typing mistake, or
    rows from another task.

    With a schema the rules J003, J004 and J006 say it more exactly. Looked at: the top of the answer; a set of keys is
    rare up to 2 % of at least 20 answers, if another one has 90 %. Mend the keys; and give the task a schema (``ftkit
    task`` infers one), which then holds every row to it.
    """

    code = "C012"
    name = "rare-keys"
    summary = "The JSON answer has other keys than nearly all others."
    hurts = "consistent"

    def wants(self, setting: Setting) -> str | None:
        return "" if setting.task.output.kind != "text" else None

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        if isinstance(seen.value, dict):
            yield "$", ", ".join(sorted(seen.value))

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for subject, ways in tally:
            usual, few = rare(ways, share=0.02, least=20)
            if ways[usual] < 0.9 * sum(ways.values()):
                continue
            common = set(usual.split(", "))
            for way in few:
                keys = set(way.split(", "))
                more, less = sorted(keys - common), sorted(common - keys)
                parts = [f"has {', '.join(more)}"] * bool(more) + [f"lacks {', '.join(less)}"] * bool(less)
                for row in tally.rows(subject, way):
                    yield Found(f"the answer {' and '.join(parts)}, unlike nearly all others", subject, row=row)
