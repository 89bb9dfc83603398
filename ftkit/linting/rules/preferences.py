"""P: chosen and rejected answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from typing_extensions import override

from ftkit.counts import counted
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_features import equal_rows
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import CorpusRule, Rule, VariantRule
from ftkit.linting.rules.shape import RowErrorRule
from ftkit.linting.text_normalization import percent
from ftkit.linting.variant_counter import VariantCounter


class _PreferenceRule(Rule):
    """A rule on preferences only."""

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if context.kind == "preferences" else ""


class SameAnswers(_PreferenceRule, RowErrorRule):
    """The chosen answer equals the rejected answer.

    The chosen and the rejected answer are the same. The loss of such a pair is constant: the model learns nothing
    from it, and it distorts the margins.

    Delete the row.
    """

    code = "P001"
    name = "same-answers"
    problems = ("same_answers",)


class DifferentPrompts(_PreferenceRule, RowErrorRule):
    """The two conversations differ in more than the last turn.

    The conversations of the two answers differ before the last turn. The preference is then about the conversation
    instead of the answer. Neither ftkit nor any host accepts such a pair.

    Cut both conversations at the turn where they diverge.
    """

    code = "P002"
    name = "different-prompts"
    problems = ("prompts_differ",)


class LengthBias(_PreferenceRule, VariantRule):
    """The chosen answer is nearly always the longer one, or the shorter one.

    The chosen answer is nearly always the longer one, or nearly always the shorter one. The easiest way to satisfy
    such pairs is to write more (or less), and the model learns that.

    Reported if it is the same side in 80 % of at least 20 pairs whose lengths differ by a tenth or more. Add pairs in
    which the shorter answer is chosen, or pairs of equal length.
    """

    code = "P003"
    name = "length-bias"

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        if view.row is None or view.row.rejected is None:
            return
        texts = dict(view.texts())
        chosen, rejected = len(view.answer), len(texts.get("rejected.content", ""))
        if abs(chosen - rejected) >= 0.1 * max(chosen, rejected, 1):
            yield "pairs", "longer" if chosen > rejected else "shorter"

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for _, variants in counter:
            usual, count = next(iter(variants.items()))
            total = sum(variants.values())
            if total >= 20 and count >= 0.8 * total:
                share = percent(count / total)
                yield RuleFinding(
                    f"the chosen answer is the {usual} one in {share} of {counted(total, 'pair')} that differ in length"
                )


class ReversedPair(_PreferenceRule, CorpusRule):
    """Another row prefers the answer that this row rejects.

    Another row prefers, for the same prompt, the answer that this row rejects. The two rows cancel out. Usually the
    columns were swapped once.

    Find out which one is intended.
    """

    code = "P004"
    name = "reversed-pair"
    density_part = "agreeing"

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        features = corpus.features
        for rows in equal_rows(features.normalized_input, np.flatnonzero(features.rejected != 0)):
            firsts: dict[tuple[int, int], int] = {}
            pairs = list(zip(features.answer[rows].tolist(), features.rejected[rows].tolist(), strict=True))
            for row, pair in zip(rows.tolist(), pairs, strict=True):
                firsts.setdefault(pair, row)
            for row, (chosen, rejected) in zip(rows.tolist(), pairs, strict=True):
                if (rejected, chosen) in firsts:
                    other = firsts[rejected, chosen]
                    yield RuleFinding("another row prefers the answer that this one rejects", row=row, others=(other,))
