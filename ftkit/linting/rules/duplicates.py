"""U: duplicate rows, within and across splits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_features import equal_rows
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import CorpusRule, RowRule, missing_extra
from ftkit.linting.text_normalization import percent

TEST_INPUT_WORDS = 8
"""Words at the start of a test row's input that are searched in training rows."""


def _repeats(corpus: Corpus, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Each row but the first of its split, after that first row."""
    firsts: dict[int, int] = {}
    for row in rows.tolist():
        split = int(corpus.split_index[row])
        if split in firsts:
            yield firsts[split], row
        else:
            firsts[split] = row


class ExactDuplicate(CorpusRule):
    """The row is identical to an earlier row.

    The row is identical to an earlier row. It counts twice in training (its share of the gradient doubles), costs
    twice, and makes the dataset appear larger than it is.

    Delete it, unless the weight is intended.
    """

    code = "U001"
    name = "exact-duplicate"
    density_part = "unique"

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        for rows in equal_rows(corpus.features.content):
            for first, row in _repeats(corpus, rows):
                yield RuleFinding("identical to an earlier row", row=row, others=(first,))


class NormalisedDuplicate(CorpusRule):
    """The row equals an earlier row except for case, punctuation or spacing.

    The row differs from an earlier row only in case, punctuation or spacing, and has the same answer (compared in
    the same way). It adds almost nothing.

    Delete it, unless the model should learn to handle the variation.
    """

    code = "U002"
    name = "normalised-duplicate"
    density_part = "unique"

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        features = corpus.features
        combined = (features.normalized_input ^ (features.rejected * np.uint64(3))) * np.uint64(0x9E3779B97F4A7C15)
        combined = np.where(corpus.readable, combined ^ features.normalized_answer, np.uint64(0))
        for rows in equal_rows(combined):
            contents: dict[int, set[int]] = {}
            for first, row in _repeats(corpus, rows):
                known = contents.setdefault(first, {int(features.content[first])})
                if int(features.content[row]) not in known:  # else it is an exact duplicate
                    known.add(int(features.content[row]))
                    yield RuleFinding(
                        "equal to an earlier row except for case, punctuation or spacing", row=row, others=(first,)
                    )


class NearDuplicate(CorpusRule):
    """Nearly the same input with the same answer occurs earlier.

    The input is nearly that of an earlier row (four fifths of the word triples are shared), and the answer is the
    same. Many such rows are one example with a large weight.

    Found by MinHash over the input's word triples (64 hash functions, 12 bands of 5), then compared exactly. Inputs
    with fewer than eight words are not checked. Keep the best row of each cluster.
    """

    code = "U003"
    name = "near-duplicate"
    density_part = "unique"
    needs_minhash = True

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return missing_extra("rensa")

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        features = corpus.features
        for pair in corpus.near_duplicates:
            if corpus.split_index[pair.first] != corpus.split_index[pair.second]:
                continue
            if features.normalized_answer[pair.first] == features.normalized_answer[pair.second]:
                similarity = percent(pair.similarity)
                yield RuleFinding(
                    f"{similarity} similar to an earlier row, with the same answer",
                    row=pair.second,
                    others=(pair.first,),
                )


class Leakage(CorpusRule):
    """A test row's input is among the training rows.

    The input of a test row is among the training rows, exactly or except for case, punctuation and spacing. A score
    on it measures memorisation, not skill.

    Remove it from one of the splits. ``Dataset.split(group_by=…)`` keeps related rows on one side.
    """

    code = "U004"
    name = "leakage"
    severity = "error"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if len(context.rows) > 1 else ""

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        features, split_index = corpus.features, corpus.split_index
        for rows in equal_rows(features.normalized_input):
            training = rows[split_index[rows] == 0]
            if len(training):
                for row in rows[split_index[rows] != 0].tolist():
                    exact = features.input[row] in features.input[training]
                    how = "" if exact else ", except for case, punctuation or spacing"
                    yield RuleFinding(f"the input is among the training rows{how}", row=row, others=(int(training[0]),))


class NearLeakage(CorpusRule):
    """A test row's input is nearly that of a training row.

    The input of a test row is nearly that of a training row (four fifths of the word triples are shared). The test
    is easier than production.

    Found like U003: by MinHash, then compared exactly. Remove it from one of the splits, or split by what the two rows
    share.
    """

    code = "U005"
    name = "near-leakage"
    needs_minhash = True

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if len(context.rows) < 2 else missing_extra("rensa")

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        for pair in corpus.near_duplicates:
            if corpus.split_index[pair.first] == 0 and corpus.split_index[pair.second] != 0:
                similarity = percent(pair.similarity)
                yield RuleFinding(
                    f"the input is {similarity} similar to that of a training row",
                    row=pair.second,
                    others=(pair.first,),
                )


class GroupLeakage(CorpusRule):
    """A test row's group is among the training rows.

    Rows of one group (a patient, a document; the column that ``group=`` names) are in both splits, so the test does
    not measure new groups.

    Split with ``group_by``. Reported once for each test row.
    """

    code = "U006"
    name = "group-leakage"
    severity = "error"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if len(context.rows) > 1 and context.options.group is not None else ""

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        split_index = corpus.split_index
        for rows in equal_rows(corpus.features.group):
            training = rows[split_index[rows] == 0]
            if len(training):
                for row in rows[split_index[rows] != 0].tolist():
                    yield RuleFinding("its group is among the training rows", row=row, others=(int(training[0]),))


class ContainedEval(RowRule):
    """A training row contains a test row's input.

    A training row contains the whole input of a test row within a longer text, such as a document that quotes it or
    a conversation that starts with it. The model has then seen the test input.

    Checks test inputs of eight words or more, word by word, without case and punctuation, in inputs and answers of
    training rows. Equal inputs are reported by U004. Remove one of the two rows.
    """

    code = "U007"
    name = "contained-eval"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if len(context.rows) > 1 else ""

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if view.split != "train" or not context.test_inputs:
            return
        words = [*view.input_words, *view.answer_words]
        if len(words) <= TEST_INPUT_WORDS:
            return
        starts = zip(*(words[at:] for at in range(TEST_INPUT_WORDS)), strict=False)
        text: str | None = None
        for start in map(" ".join, starts):
            for number, test_input, images in context.test_inputs.get(start, ()):
                text = text or f" {' '.join(words)} "
                if (
                    f" {test_input} " in text
                    and images.issubset(view.media_items)  # a question about another image is another question
                    and test_input != view.normalized_input
                ):
                    yield RuleFinding("the row contains the whole input of a test row", others=(number,))
                    return


class DuplicateId(CorpusRule):
    """Different rows have the same id.

    Two rows with different content have the same id. Ignoring rows by id, comparing reports and repeating
    evaluations cannot distinguish them.

    Give each row its own id.
    """

    code = "U008"
    name = "duplicate-id"

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        features = corpus.features
        for rows in equal_rows(features.id):
            for first, row in _repeats(corpus, rows):
                if features.content[row] != features.content[first]:
                    yield RuleFinding("an earlier row with other content has the same id", row=row, others=(first,))
