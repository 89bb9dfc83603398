"""C001, C008, C009, C011 and C012: consistency of whole answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from typing_extensions import override

from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.json_answers import find_wrapping
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import RowRule, VariantRule
from ftkit.linting.text_normalization import excerpt
from ftkit.linting.variant_counter import VariantCounter, rare_variants


class KeyOrder(RowRule, VariantRule):
    """The keys of the answer are in an unusual order.

    The keys of the answer are not in the order of the schema or, without a schema, in the order of most rows. A
    model writes keys in the order that it has seen, and two orders make it less certain of the next key.

    Checks answers in conversations. Answers in a column that ``target=`` names are written in the schema's order by
    ftkit itself. Without a schema, an order is left out that follows the values in the input, if most rows follow them.
    ``--fix`` writes the schema's order.
    """

    code = "C001"
    name = "key-order"
    fixable = True
    density_part = "consistent"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if context.options.target is None and context.options.chosen is None else ""

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if context.task.output.kind != "json" or view.value is None:
            return
        actual = key_orders(view.value)
        expected = key_orders(json.loads(context.task.output.format(view.value)))
        for path, keys in actual.items():
            in_order = [key for key in expected[path] if key in keys]
            misplaced = next((key for key, other in zip(keys, in_order, strict=False) if key != other), None)
            if misplaced is not None:
                shown = excerpt(view.answer, width=100)
                yield RuleFinding(f"{misplaced!r} has another position in the schema's order", path, shown)
                return

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        if context.task.output.kind == "text" and isinstance(view.value, dict):
            for path, keys in key_orders(view.value).items():
                yield f"{path}\x1f{', '.join(sorted(keys))}", ", ".join(keys)

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for key, variants in counter:
            usual, rare = rare_variants(variants, share=0.2, min_total=10)
            if not rare:
                continue
            path = key.split("\x1f")[0]
            some = counter.rows(key, usual)
            some = some[:: 1 + len(some) // _COMPARED_ORDERS]
            follow = 2 * sum(_follows_input(view, path) for view in corpus.views(some)) > len(set(some))
            for variant in rare:
                message = f"the order of the keys is {variant}; most rows have {usual}"
                for view in corpus.views(counter.rows(key, variant)):
                    if not (follow and _follows_input(view, path)):
                        yield RuleFinding(message, path, row=view.number, fixable=False)


_COMPARED_ORDERS = 100
"""Rows with the usual order of keys of which C001 compares the order with that of the values in the input."""


def _follows_input(view: RowView, path: str) -> bool:
    """Whether the values of an object occur in the input in the order of its keys."""
    objects = dict(_objects(view.value, "$"))
    at = 0
    for value in objects.get(path, {}).values():
        if isinstance(value, str | int | float):
            at = view.input.find(str(value), at)
            if at < 0:
                return False
    return True


def _objects(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a value, with its path."""
    if isinstance(value, dict):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _objects(item, f"{path}.{name}" if isinstance(value, dict) else f"{path}[{name}]")


def key_orders(value: Any, path: str = "$") -> dict[str, list[str]]:
    """Return the order of the keys of every object in a value.

    Args:
        value: plain JSON data.
        path: JSON path of the value.

    Returns:
        The keys of each object, in order, by its path.
    """
    return {at: list(item) for at, item in _objects(value, path)}


class _JsonWrappingRule(RowRule, VariantRule):
    """JSON with text around it, if most answers are JSON alone."""

    density_part = "consistent"
    kind = ""
    message = ""

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if view.output_error is None or context.task.output.kind != "json":
            return
        wrapping = find_wrapping(view.answer_text)
        if wrapping is not None and wrapping.kind == self.kind:
            shown = excerpt(wrapping.around or view.answer_text or "", width=100)
            yield RuleFinding(self.message, "$", shown, severity="error")

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        if context.task.output.kind == "text":
            wrapping = None if view.value is not None else find_wrapping(view.answer)
            yield "answers", "json" if view.value is not None else wrapping.kind if wrapping else "other"

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for key, variants in counter:
            if variants.get("json", 0) * 2 > sum(variants.values()) and self.kind in variants:
                for row in counter.rows(key, self.kind):
                    yield RuleFinding(f"{self.message}; most answers are JSON alone", "$", row=row)


class MarkdownFence(_JsonWrappingRule):
    """The JSON answer is inside a Markdown fence.

    The JSON is inside a Markdown fence (three backquotes). A program that parses the answer as JSON fails, and the
    model sometimes writes fences.

    ``--fix`` removes the fence.
    """

    code = "C008"
    name = "markdown-fence"
    fixable = True
    kind = "fence"
    message = "the answer is wrapped in a Markdown fence"


class TextAround(_JsonWrappingRule):
    """There is text before or after the JSON answer.

    There is text before or after the JSON, such as "Here is the record:" or "Let me know if …". A program that
    parses the answer as JSON fails.

    Delete the text. ``--fix`` does not, because only a person can see that nothing is lost.
    """

    code = "C009"
    name = "text-around-json"
    kind = "text"
    message = "there is text around the JSON"


_FILLER = re.compile(
    r"(?:sure|certainly|of course|absolutely|great question|as an ai|i hope this|here is|here's|thank you for)\b", re.I
)
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_MARKDOWN = re.compile(r"^\s{0,3}(?:#{1,6} |[-*+] |\d+[.)] )|(?<![\w*])\*\*\w[^*\n]{0,200}\*\*(?!\w)", re.MULTILINE)
_IDENTIFIER = re.compile(r"\w{1,100}[_.(\[=]\w|\w{0,100}_")
"""The first word of an answer that is code: whether its first letter is small says nothing."""
_FEATURES: tuple[tuple[str, str, Callable[[str, str], bool | None]], ...] = (
    ("ends with a full stop", "does not end with a full stop", lambda text, _: text[-1:] in ".!?…。"),
    (
        "begins with a capital",
        "begins with a small letter",
        lambda text, _: None if _IDENTIFIER.match(text) else not text[:1].islower(),
    ),
    ("has Markdown", "has no Markdown", lambda text, _: _MARKDOWN.search(text) is not None),
    ("begins with a filler", "begins with no filler", lambda text, _: _FILLER.match(text) is not None),
    ("has emoji", "has no emoji", lambda text, asked: _has_emoji(text, asked)),
)
"""Habits of an answer: what it is called, what its absence is called, and whether an answer to an input has it."""


def _has_emoji(text: str, asked: str) -> bool:
    """Whether an answer has an emoji of its own: a playing card or a star of the input is repeated rightly."""
    return not text.isascii() and any(emoji not in asked for emoji in _EMOJI.findall(text))


class StyleDrift(VariantRule):
    """The answer lacks a habit that nearly all others share.

    Nearly all answers share a habit, and this answer does not: it ends without a full stop, has Markdown or emoji,
    or begins with "Sure!". A few such answers are enough for the tuned model to show them in production.

    Checks plain text answers of two words or more. A habit is what 97 % of at least 50 answers share. Rewrite the
    answer like the others, unless the exception is intended.
    """

    code = "C011"
    name = "style-drift"
    severity = "info"
    density_part = "consistent"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.task.output.kind != "text" else None

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        answer = view.answer.strip()
        if view.value is not None or " " not in answer:
            return
        for yes, no, test in _FEATURES:
            has = test(answer, view.input)
            if has is not None:
                yield yes, yes if has else no

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for key, variants in counter:
            _, rare = rare_variants(variants, share=0.03, min_total=50)
            for variant in rare:
                message = f"the answer {variant}, as only {variants[variant]:,} of {sum(variants.values()):,} do"
                for row in counter.rows(key, variant):
                    yield RuleFinding(message, "$", row=row)


class RareKeys(VariantRule):
    """The JSON answer has other keys than nearly all others.

    Answers are JSON objects without a schema, and this one has other keys than nearly all others: a typing mistake,
    or a row of another task.

    With a schema, rules J003, J004 and J006 are more precise. Checks the top-level keys: a set of keys is rare up to 2
    % of at least 20 answers, if another set has 90 %. Correct the keys, and give the task a schema (``ftkit task``
    infers one), so that every row is validated.
    """

    code = "C012"
    name = "rare-keys"
    density_part = "consistent"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.task.output.kind != "text" else None

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        if isinstance(view.value, dict):
            yield "$", ", ".join(sorted(view.value))

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for key, variants in counter:
            usual, rare = rare_variants(variants, share=0.02, min_total=20)
            if variants[usual] < 0.9 * sum(variants.values()):
                continue
            common = set(usual.split(", "))
            for variant in rare:
                keys = set(variant.split(", "))
                more, less = sorted(keys - common), sorted(common - keys)
                parts = [f"has {', '.join(more)}"] * bool(more) + [f"lacks {', '.join(less)}"] * bool(less)
                for row in counter.rows(key, variant):
                    yield RuleFinding(f"the answer {' and '.join(parts)}, unlike nearly all others", key, row=row)
