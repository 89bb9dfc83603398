"""P: better and worse answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole, same
from ftkit.linting.counter import Tally
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import Rule, TallyRule, WholeRule
from ftkit.linting.rules.row_errors import FaultyRow
from ftkit.linting.text_normalization import percent

__all__ = ["DifferentPrompts", "LengthBias", "ReversedPair", "SameAnswers"]


class _OnPreferences(Rule):
    """A rule that has nothing to look at in demonstrations."""

    def wants(self, setting: Setting) -> str | None:
        return None if setting.kind == "preferences" else ""


class SameAnswers(_OnPreferences, FaultyRow):
    """The chosen and the rejected answer are the same. The loss of such a pair is a constant: nothing is learned, and
    margins look better or worse than they are.

    Leave the row out.
    """

    code = "P001"
    name = "same-answers"
    summary = "The chosen answer is the rejected one."
    problems = ("same_answers",)


class DifferentPrompts(_OnPreferences, FaultyRow):
    """The two answers belong to conversations that differ before the last turn. What is better then is not the answer
    but the conversation, and no host nor ftkit takes such a pair.

    Cut both conversations at the turn where they part.
    """

    code = "P002"
    name = "different-prompts"
    summary = "The two conversations differ in more than the last turn."
    problems = ("prompts_differ",)


class LengthBias(_OnPreferences, TallyRule):
    """The better answer is nearly always the longer one (or the shorter). The quickest way to satisfy such pairs is to
    write more, and that is what gets learned.

    Reported when in 80 % of at least 20 pairs, whose lengths differ by a tenth or more, it is the same side. Add pairs
    where the shorter answer wins, or answers of equal length.
    """

    code = "P003"
    name = "length-bias"
    summary = "The better answer is nearly always the longer one, or the shorter."

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        if seen.row is None or seen.row.rejected is None:
            return
        texts = dict(seen.texts())
        better, worse = len(seen.answer), len(texts.get("rejected.content", ""))
        if abs(better - worse) >= 0.1 * max(better, worse, 1):
            yield "pairs", "longer" if better > worse else "shorter"

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for _, ways in tally:
            usual, count = next(iter(ways.items()))
            total = sum(ways.values())
            if total >= 20 and count >= 0.8 * total:
                share = percent(count / total)
                yield Found(f"the chosen answer is the {usual} one in {share} of {total:,} pairs that differ in length")


class ReversedPair(_OnPreferences, WholeRule):
    """Another row prefers, to the same question, the answer that this one rejects. The two cancel out; mostly the
    columns were swapped once.

    Find out which is meant.
    """

    code = "P004"
    name = "reversed-pair"
    summary = "Another row prefers what this one rejects."
    hurts = "agreeing"

    def check(self, whole: Whole) -> Iterator[Found]:
        facts = whole.facts
        for rows in same(facts.normal_input, np.flatnonzero(facts.rejected != 0)):
            firsts: dict[tuple[int, int], int] = {}
            pairs = list(zip(facts.answer[rows].tolist(), facts.rejected[rows].tolist(), strict=True))
            for row, pair in zip(rows.tolist(), pairs, strict=True):
                firsts.setdefault(pair, row)
            for row, (better, worse) in zip(rows.tolist(), pairs, strict=True):
                if (worse, better) in firsts:
                    other = firsts[worse, better]
                    yield Found("another row prefers the answer that this one rejects", row=row, others=(other,))
