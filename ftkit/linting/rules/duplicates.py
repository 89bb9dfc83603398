"""U: rows that are there more than once, within and across splits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole, same
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule, WholeRule, not_installed
from ftkit.linting.text_normalization import percent

__all__ = [
    "ContainedEval",
    "DuplicateId",
    "ExactDuplicate",
    "GroupLeakage",
    "Leakage",
    "NearDuplicate",
    "NearLeakage",
    "NormalisedDuplicate",
]

EVAL_WORDS = 8
"""Words by which the beginning of a test row's input is looked for in training rows."""


def _within(whole: Whole, rows: np.ndarray) -> Iterator[tuple[int, int]]:
    """Each row with the first one of the same split, where there is one."""
    firsts: dict[int, int] = {}
    for row in rows.tolist():
        split = int(whole.split_of[row])
        if split in firsts:
            yield firsts[split], row
        else:
            firsts[split] = row


class ExactDuplicate(WholeRule):
    """The row is there already, letter by letter. It counts twice in training (its share of the gradient doubles),
    costs twice, and makes the set look larger than it is.

    Delete it, unless the weight is meant.
    """

    code = "U001"
    name = "exact-duplicate"
    summary = "The same row is there before."
    hurts = "unique"

    def check(self, whole: Whole) -> Iterator[Found]:
        for rows in same(whole.facts.whole):
            for first, row in _within(whole, rows):
                yield Found("the same as an earlier row", row=row, others=(first,))


class NormalisedDuplicate(WholeRule):
    """The row differs from an earlier one only in case, punctuation or spacing, and has the same answer (by the same
    measure). It adds next to nothing.

    Delete it, unless the variation is what the model shall learn to bear.
    """

    code = "U002"
    name = "normalised-duplicate"
    summary = "The same row, but for case, punctuation or spacing, is there before."
    hurts = "unique"

    def check(self, whole: Whole) -> Iterator[Found]:
        facts = whole.facts
        mixed = (facts.normal_input ^ (facts.rejected * np.uint64(3))) * np.uint64(0x9E3779B97F4A7C15)
        mixed = np.where(whole.readable, mixed ^ facts.normal_answer, np.uint64(0))
        for rows in same(mixed):
            first_of: dict[int, set[int]] = {}
            for first, row in _within(whole, rows):
                known = first_of.setdefault(first, {int(facts.whole[first])})
                if int(facts.whole[row]) not in known:  # else it is an exact duplicate
                    known.add(int(facts.whole[row]))
                    yield Found(
                        "the same as an earlier row, but for case, punctuation or spacing", row=row, others=(first,)
                    )


class NearDuplicate(WholeRule):
    """The row asks nearly what an earlier one asks (four fifths of the word triples are shared) and has the same
    answer. Many such rows are one example with a heavy weight.

    Found by MinHash over the input's word triples (64 hash functions, 12 bands of 5), then measured exactly. Inputs
    with fewer than eight words are not looked at. Keep the best row of each cluster.
    """

    code = "U003"
    name = "near-duplicate"
    summary = "Nearly the same input with the same answer is there before."
    hurts = "unique"
    needs_sketches = True

    def wants(self, setting: Setting) -> str | None:
        return not_installed("rensa")

    def check(self, whole: Whole) -> Iterator[Found]:
        facts = whole.facts
        for pair in whole.similar:
            if whole.split(pair.first) != whole.split(pair.second):
                continue
            if facts.normal_answer[pair.first] == facts.normal_answer[pair.second]:
                alike = percent(pair.similarity)
                yield Found(
                    f"{alike} the same as an earlier row, with the same answer", row=pair.second, others=(pair.first,)
                )


class Leakage(WholeRule):
    """A test row's input is in the training rows, letter by letter or but for case, punctuation and spacing. What is
    measured on it is memory, not skill.

    Take it out of one side. ``Dataset.split(group_by=…)`` keeps what belongs together on one side.
    """

    code = "U004"
    name = "leakage"
    summary = "A test row's input is among the training rows."
    severity = "error"

    def wants(self, setting: Setting) -> str | None:
        return None if len(setting.rows) > 1 else ""

    def check(self, whole: Whole) -> Iterator[Found]:
        facts, split_of = whole.facts, whole.split_of
        for rows in same(facts.normal_input):
            trained = rows[split_of[rows] == 0]
            if len(trained):
                for row in rows[split_of[rows] != 0].tolist():
                    exact = facts.input[row] in facts.input[trained]
                    how = "" if exact else ", but for case, punctuation or spacing"
                    yield Found(f"the input is among the training rows{how}", row=row, others=(int(trained[0]),))


class NearLeakage(WholeRule):
    """A test row's input is nearly that of a training row (four fifths of the word triples are shared). The test is
    easier than life.

    As U003 it is found by MinHash and measured exactly. Take it out of one side, or split by what the two have in
    common.
    """

    code = "U005"
    name = "near-leakage"
    summary = "A test row's input is nearly that of a training row."
    needs_sketches = True

    def wants(self, setting: Setting) -> str | None:
        return "" if len(setting.rows) < 2 else not_installed("rensa")

    def check(self, whole: Whole) -> Iterator[Found]:
        for pair in whole.similar:
            if whole.split_of[pair.first] == 0 and whole.split_of[pair.second] != 0:
                alike = percent(pair.similarity)
                yield Found(f"the input is {alike} that of a training row", row=pair.second, others=(pair.first,))


class GroupLeakage(WholeRule):
    """Rows of one group (a patient, a document; the column that ``group=`` names) are on both sides of the split, so
    the test is not of new patients.

    Split with ``group_by``. Reported once for each test row.
    """

    code = "U006"
    name = "group-leakage"
    summary = "A test row's group is among the training rows."
    severity = "error"

    def wants(self, setting: Setting) -> str | None:
        return None if len(setting.rows) > 1 and setting.options.group is not None else ""

    def check(self, whole: Whole) -> Iterator[Found]:
        split_of = whole.split_of
        for rows in same(whole.facts.group):
            trained = rows[split_of[rows] == 0]
            if len(trained):
                for row in rows[split_of[rows] != 0].tolist():
                    yield Found("its group is among the training rows", row=row, others=(int(trained[0]),))


class ContainedEval(RowRule):
    """A training row contains the whole input of a test row inside a longer text: a document that quotes it, a
    conversation that begins with it. The model has then seen the test.

    Looked at: test inputs of eight words or more, word by word, without case and punctuation, in questions and answers
    of training rows. Inputs that are equal are U004's. Take one of the two out.
    """

    code = "U007"
    name = "contained-eval"
    summary = "A training row contains a test row's input."

    def wants(self, setting: Setting) -> str | None:
        return None if len(setting.rows) > 1 else ""

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        if seen.split != "train" or not setting.eval_texts:
            return
        words = [*seen.input_words, *seen.answer_words]
        if len(words) <= EVAL_WORDS:
            return
        starts = zip(*(words[at:] for at in range(EVAL_WORDS)), strict=False)
        whole: str | None = None
        for start in map(" ".join, starts):
            for number, text in setting.eval_texts.get(start, ()):
                whole = whole or f" {' '.join(words)} "
                if f" {text} " in whole and text != seen.normalised_input:
                    yield Found("the row contains the whole input of a test row", others=(number,))
                    return


class DuplicateId(WholeRule):
    """Two rows with different content have the same id. Ignores by id, comparisons of reports and repeated evaluations
    cannot tell them apart.

    Give each row an id of its own.
    """

    code = "U008"
    name = "duplicate-id"
    summary = "Different rows have the same id."

    def check(self, whole: Whole) -> Iterator[Found]:
        facts = whole.facts
        for rows in same(facts.id):
            for first, row in _within(whole, rows):
                if facts.whole[row] != facts.whole[first]:
                    yield Found("an earlier row with other content has the same id", row=row, others=(first,))
