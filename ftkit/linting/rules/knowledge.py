"""K: facts that the input does not contain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from typing_extensions import override

from ftkit.counts import counted
from ftkit.data.formats import text_content
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import INSTRUCTION_ROLES, RowView
from ftkit.linting.rule import VariantRule
from ftkit.linting.text_normalization import percent, text_hash, words_of
from ftkit.linting.variant_counter import VariantCounter

_NUMBER_OR_NAME = re.compile(r"(?<![.!?:\n]\s)(?<!^)(?<![\"“(\n])\b[A-Z][a-z]{2,}\b|\.?\b\d[\d.,]*\d\b|\.?\b\d\b")

_CALCULATION = re.compile(
    r"(?<![\w.])(\.?\d[\d.,]{0,20}) ?[%)]{0,2} ?(?:[*x×/÷+=]|[a-z]{1,12} ?=) ?[$€£(<]{0,3}(?=(\.?\d[\d.,]{0,20}))"
)
"""Two numbers with an operator or an equals sign between them; the second may be the first of the next pair."""
_NUMBER = re.compile(r"\.?\d[\d.,]{0,20}")

_BUCKETS = 2_000
"""Names are counted by their hash, in bounded memory."""
_MAX_NAMES = 10
"""Names of an answer that are counted."""
_MIN_LABEL, _LABEL_SHARE = 4, 0.02
"""Answers, and share of all answers, above which a name is a label."""


class FactsNotInInput(VariantRule):
    """Answers contain facts that the input does not contain.

    Answers contain numbers or names that neither the input nor the instructions contain. Fine-tuning teaches
    behaviour well and facts badly: a model trained to answer what it cannot know from its input learns to
    hallucinate (Z. Gekhman et al., https://arxiv.org/abs/2405.05904). Put facts into the prompt, by retrieval.

    Reported as the share of such rows, with examples, if it is at least a tenth of ten rows or more. In JSON answers,
    numbers and texts are checked; in other answers, numbers and capitalised words inside sentences. A name in more than
    2 % of the answers is a label or a habit and does not count, nor do numbers of calculations that the answer shows
    (``3 * 8 = 24``). Other derived values (a sum, "six weeks" as 42) count as unsupported, so review the rows before
    you rely on the share.
    """

    code = "K001"
    name = "facts-not-in-input"
    severity = "info"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.task.output.kind == "choice" else None

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        if view.row is None or not view.answer or view.media:  # what an image shows is not in the text
            return
        facts = _unsupported_facts(view)
        if any(fact[-1].isdigit() for fact in facts):
            yield "rows", "absent"
        else:
            yield "rows", "names" if facts else "present"
            for name in {text_hash(fact) % _BUCKETS for fact in facts[:_MAX_NAMES]}:
                yield "names", str(name)

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        total = sum(dict(counter).get("rows", {}).values())
        if total < 10:
            return
        absent = set(counter.rows("rows", "absent")) if counter.count("rows", "absent") else set()
        names = dict(counter).get("names", {})
        frequent = {name for name, count in names.items() if count > max(_MIN_LABEL, _LABEL_SHARE * total)}
        for name in names.keys() - frequent:
            absent.update(counter.rows("names", name))
        if len(absent) < 0.1 * total:
            return
        examples = []
        for row in sorted(absent)[:3]:
            facts = _unsupported_facts(corpus.view(row))
            own = [fact for fact in facts if fact[-1].isdigit() or str(text_hash(fact) % _BUCKETS) not in frequent]
            examples.append(f'"{(own or facts)[0]}"')
        yield RuleFinding(
            f"{percent(len(absent) / total)} of the answers ({counted(len(absent), 'row')}) contain a number or a "
            f"name that is not in their input, or is derived from it, e.g. {'; '.join(examples)}",
            others=tuple(sorted(absent)[:3]),
        )


def _unsupported_facts(view: RowView) -> list[str]:
    """The numbers and names of the answer that the input does not contain."""
    facts: list[str] = []
    if view.value is not None:
        for _, value in view.leaf_values:
            if isinstance(value, str) and value:
                facts.append(value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                facts.append(f"{value:g}")
    else:
        facts = _NUMBER_OR_NAME.findall(view.answer)
    facts = [fact for fact in facts if fact not in view.input]
    if not facts:
        return []
    instructions = "\n".join(text_content(turn) or "" for turn in view.messages if turn["role"] in INSTRUCTION_ROLES)
    known = {*view.input_words, *_instruction_words(instructions)}
    numbers = {_value(number) for number in _NUMBER.findall(view.input)}
    if view.value is None:
        numbers.update(_value(number) for pair in _CALCULATION.findall(view.answer) for number in pair)
    unsupported = []
    for fact in facts:
        words = words_of(fact)
        if fact[-1].isdigit() and _value(fact) in numbers:
            continue
        if words and not known.issuperset(words) and not known.issuperset(word.rstrip("s") for word in words):
            unsupported.append(fact)
    return unsupported


@lru_cache(maxsize=64)
def _instruction_words(text: str) -> frozenset[str]:
    """The words of instructions, which most rows share."""
    return frozenset(words_of(text))


def _value(number: str) -> float | str:
    """The value of a number without its thousands separators; the text if it is no plain number."""
    try:
        return float(number.rstrip(".,").replace(",", ""))
    except ValueError:
        return number
