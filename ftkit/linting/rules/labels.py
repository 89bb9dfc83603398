"""L: answers that contradict each other, and classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole, same
from ftkit.linting.counter import Tally
from ftkit.linting.finding import Found
from ftkit.linting.json_fields import contradicted_fields, digits_in, words_apart
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import TallyRule, WholeRule, not_installed
from ftkit.linting.text_normalization import percent, words_of

__all__ = [
    "ClassImbalance",
    "ConflictingTargets",
    "LikelyMislabel",
    "MisplacedValue",
    "NearConflictingTargets",
    "SmallClass",
]

_LABEL_WORDS = 4
_FEW = 5_000
"""Up to so many rows the classifiers of three divisions into folds are averaged: with few, one depends on chance."""


def has_labels(setting: Setting) -> bool:
    """Whether answers are classes by declaration."""
    return setting.task.output.kind == "choice"


class ConflictingTargets(WholeRule):
    """Rows ask the same and want different answers. Training pulls the weights both ways: of two such rows nothing is
    left but noise, and no model can ever be right on both. "The same" leaves case, punctuation and spacing aside.

    Decide on one answer, or give the model what tells the rows apart. For free text where several answers are fine,
    ignore the rule: ``--ignore L001``.
    """

    code = "L001"
    name = "conflicting-targets"
    summary = "The same input has different answers."
    hurts = "agreeing"

    def wants(self, setting: Setting) -> str | None:
        return None if setting.kind == "demonstrations" else ""

    def check(self, whole: Whole) -> Iterator[Found]:
        facts = whole.facts
        answered = np.flatnonzero(facts.answer != 0)
        for rows in same(facts.normal_input, answered):
            counts = Counter(facts.normal_answer[rows].tolist())
            if len(counts) < 2:
                continue
            answers = facts.normal_answer[rows].tolist()
            # The first row of each of a few answers is enough to name rows that want another one.
            firsts: dict[int, int] = {}
            for row, answer in zip(rows.tolist(), answers, strict=True):
                if len(firsts) < 4:
                    firsts.setdefault(answer, row)
            said = "the same input has another answer elsewhere"
            if len(counts) > 2:
                said = f"rows with the same input have {len(counts)} different answers"
            for row, answer in zip(rows.tolist(), answers, strict=True):
                theirs = [first for other, first in firsts.items() if other != answer]
                yield Found(said, row=row, others=tuple(theirs[:3]))


class NearConflictingTargets(WholeRule):
    """Rows ask nearly the same (four fifths of the word triples are shared) and want different answers. Of answers that
    are labels every difference counts; of JSON answers those values that differ although the words in which the
    questions differ have nothing to do with them; numbers, and texts where a number is among what differs, are left
    out, as they may be derived.

    Often one of the two is a mistake. Where the small difference between the inputs matters, ignore the rows.
    """

    code = "L002"
    name = "near-conflicting-targets"
    summary = "Nearly the same input has a different answer."
    hurts = "agreeing"
    needs_sketches = True

    def wants(self, setting: Setting) -> str | None:
        return "" if setting.kind != "demonstrations" else not_installed("rensa")

    def check(self, whole: Whole) -> Iterator[Found]:
        facts = whole.facts
        for pair in whole.similar:
            if facts.normal_answer[pair.first] == facts.normal_answer[pair.second]:
                continue
            first, second = whole.seen(pair.first), whole.seen(pair.second)
            path = "$" if _are_labels(first, second) else _unexplained(first, second)
            if path is not None:
                yield Found(
                    f"an input that is {percent(pair.similarity)} the same has another answer",
                    path,
                    row=pair.second,
                    others=(pair.first,),
                )


def _are_labels(one: Seen, other: Seen) -> bool:
    if one.value is not None or other.value is not None:
        return False
    return max(len(one.answer_words), len(other.answer_words)) <= _LABEL_WORDS


def _unexplained(one: Seen, other: Seen) -> str | None:
    """The path of a value that differs and that the difference of the inputs does not explain."""
    if digits_in(words_apart(one, other)):  # from which a text may be derived as well
        return None
    name = next(contradicted_fields(one, other), None)
    return None if name is None else f"$.{name}"


class MisplacedValue(TallyRule):
    """A value that stands in one field nearly everywhere stands in another one here: "Blvd" as the name of the street
    instead of its type. People who label do that when they tire.

    Looked at: values of up to three words that occur in at least eight rows; a place is suspicious when 95 % of them
    are in another. The finding is a question, not a verdict: the same word can mean two things.
    """

    code = "L006"
    name = "misplaced-value"
    summary = "A value stands in another field than nearly everywhere else."
    severity = "info"

    def wants(self, setting: Setting) -> str | None:
        return "" if setting.task.output.kind == "choice" else None

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        for path, value in seen.leaves:
            if isinstance(value, str):
                words = words_of(value)
                if 0 < len(words) <= 3 and not all(word.isdigit() for word in words):
                    yield " ".join(words), path

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for subject, ways in tally:
            total = sum(ways.values())
            usual, count = next(iter(ways.items()))
            if total < 8 or count < 0.95 * total or len(ways) < 2:
                continue
            for way in list(ways)[1:]:
                for row in tally.rows(subject, way):
                    yield Found(f'"{subject}" is {usual} in {count:,} of {total:,} rows', way, row=row)


class ClassImbalance(TallyRule):
    """One class has most of the rows. A model that always answers with it is right most of the time, and training finds
    that out first.

    Reported when the largest class has 20 times the rows of the smallest, or 90 % of all. Collect rows of the rare
    classes, or drop some of the commonest; and look at recall by class in the report, not at accuracy.
    """

    code = "L003"
    name = "class-imbalance"
    summary = "One class has many times the rows of another."

    def wants(self, setting: Setting) -> str | None:
        return None if has_labels(setting) else ""

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        if seen.row is not None and seen.row.target is not None and seen.split == "train":
            yield "classes", str(seen.row.target)

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        for _, ways in tally:
            total, (most, many) = sum(ways.values()), next(iter(ways.items()))
            least, few = list(ways.items())[-1]
            if len(ways) > 1 and (many >= 20 * few or many >= 0.9 * total):
                yield Found(f"{most!r} has {many:,} of {total:,} rows, {least!r} has {few:,}")


class SmallClass(TallyRule):
    """A class has fewer than five rows, or none: too few to learn it, and too few to stand on both sides of a split.

    Collect more, or merge the class with another.
    """

    code = "L004"
    name = "small-class"
    summary = "A class has too few rows to be split."

    def wants(self, setting: Setting) -> str | None:
        return None if has_labels(setting) else ""

    def observe(self, seen: Seen, setting: Setting) -> Iterator[tuple[str, str]]:
        if seen.row is not None and seen.row.target is not None:
            yield "classes", str(seen.row.target)

    def judge(self, tally: Tally, whole: Whole) -> Iterator[Found]:
        declared: Any = getattr(whole.setting.task.output, "choices", ())
        ways = next((ways for _, ways in tally), {})
        for label in declared:
            count = ways.get(label, 0)
            if count < 5:
                rows = tally.rows("classes", label) if count else None
                what = "no row" if not count else "1 row" if count == 1 else f"{count} rows"
                yield Found(f"the class {label!r} has {what}", row=rows[0] if rows else None)


class LikelyMislabel(WholeRule):
    """The label is not the one that a simple classifier, trained on all other rows, gives with confidence. Among such
    rows wrong labels are many times as frequent as elsewhere; each is to be looked at by a person.

    How: TF-IDF over words, word pairs and pieces of words, logistic regression, five folds, up to 5,000 rows in three
    ways; a row is reported when its label's probability is below the mean that the classifier gives to rows of that
    label, and another label's is above the mean of that one (confident learning, C. Northcutt et al.,
    https://arxiv.org/abs/1911.00068), and three times as high as its own label's. At least 50 rows, at least two
    classes of five; up to 50,000 rows.
    """

    code = "L005"
    name = "likely-mislabel"
    summary = "A classifier trained on the other rows is sure of another label."
    severity = "info"

    def wants(self, setting: Setting) -> str | None:
        return not_installed("sklearn") if has_labels(setting) else ""

    def check(self, whole: Whole) -> Iterator[Found]:
        numbers = np.flatnonzero(whole.facts.answer != 0)
        if not 50 <= len(numbers) <= 50_000:
            return
        seen = [whole.seen(int(number)) for number in numbers]
        labels = np.array([str(one.row.target) for one in seen if one.row is not None])
        counts = Counter(labels.tolist())
        kept = np.array([counts[label] >= 5 for label in labels.tolist()])
        if len({label for label, count in counts.items() if count >= 5}) < 2:
            return
        numbers, labels = numbers[kept], labels[kept]
        probabilities, classes = _probabilities(
            [one.input for one, keep in zip(seen, kept, strict=True) if keep], labels
        )
        own = np.searchsorted(classes, labels)
        usual = np.array([probabilities[own == at, at].mean() for at in range(len(classes))])
        confident = np.where(probabilities >= usual, probabilities, 0.0)
        confident[np.arange(len(own)), own] = 0.0
        best = confident.argmax(axis=1)
        given = probabilities[np.arange(len(own)), own]
        likely = confident[np.arange(len(own)), best]
        for at in np.flatnonzero((likely > 0) & (likely >= 3 * given) & (given < usual[own])):
            own_share, other_share = percent(given[at]), percent(likely[at])
            yield Found(
                f"labelled '{labels[at]}', which has {own_share} here; '{classes[best[at]]}' has {other_share}",
                row=int(numbers[at]),
            )


def _probabilities(texts: list[str], labels: Any) -> tuple[Any, Any]:
    """[rows, classes] probabilities of each row by classifiers that have not seen its label; the classes, sorted."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_union

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    vectors = make_union(words, pieces).fit_transform(texts)
    classifier = LogisticRegression(C=10.0, max_iter=300, class_weight="balanced")
    seeds = range(3 if len(texts) <= _FEW else 1)
    found = [
        cross_val_predict(
            classifier, vectors, labels, cv=StratifiedKFold(5, shuffle=True, random_state=seed), method="predict_proba"
        )
        for seed in seeds
    ]
    return np.mean(found, axis=0), np.unique(labels)
