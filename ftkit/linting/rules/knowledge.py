"""K: facts that the input does not contain."""

from __future__ import annotations

import re
from collections.abc import Iterator

from typing_extensions import override

from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import VariantRule
from ftkit.linting.text_normalization import percent, words_of
from ftkit.linting.variant_counter import VariantCounter

_NUMBER_OR_NAME = re.compile(r"(?<![.!?:\n]\s)(?<!^)(?<![\"“(])\b[A-Z][a-z]{2,}\b|\b\d[\d.,]*\d\b|\b\d\b")


class FactsNotInInput(VariantRule):
    """Answers contain facts that the input does not contain.

    Answers contain numbers or names that neither the input nor the instructions contain. Fine-tuning teaches
    behaviour well and facts badly: a model trained to answer what it cannot know from its input learns to
    hallucinate (Z. Gekhman et al., https://arxiv.org/abs/2405.05904). Put facts into the prompt, by retrieval.

    Reported as the share of such rows, with examples, if it is at least a tenth of ten rows or more. In JSON answers,
    numbers and texts are checked; in other answers, numbers and capitalised words inside sentences. Derived values (a
    sum, "six weeks" as 42) count as unsupported, so review the rows before you rely on the share.
    """

    code = "K001"
    name = "facts-not-in-input"
    severity = "info"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.task.output.kind == "choice" else None

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        if view.row is None or not view.answer:
            return
        yield "rows", "absent" if _unsupported_fact(view) is not None else "present"

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for key, variants in counter:
            absent, total = variants.get("absent", 0), sum(variants.values())
            if total < 10 or absent < 0.1 * total:
                continue
            rows = counter.rows(key, "absent")
            facts = [(row, _unsupported_fact(corpus.view(row))) for row in rows[:3]]
            shown = "; ".join(f'"{fact}"' for _, fact in facts)
            share = f"{percent(absent / total)} of the answers ({absent:,} rows)"
            yield RuleFinding(
                f"{share} contain a number or a name that is not in their input, or is derived from it, e.g. {shown}",
                others=tuple(row for row, _ in facts),
            )


def _unsupported_fact(view: RowView) -> str | None:
    """The first number or name of the answer that the input does not contain."""
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
    known = set(view.input_words) if facts else set()
    for fact in facts:
        words = words_of(fact)
        if words and not known.issuperset(words) and not known.issuperset(word.rstrip("s") for word in words):
            return fact
    return None
