"""L: contradicting answers, and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ftkit.counts import counted
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.json_answers import contain_digit, contradicted_fields, differing_words
from ftkit.linting.row_features import equal_rows
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import CorpusRule, VariantRule, missing_extra
from ftkit.linting.softmax_regression import SoftmaxRegression
from ftkit.linting.text_normalization import percent, words_of
from ftkit.linting.time_budget import TimeBudget
from ftkit.linting.variant_counter import VariantCounter

_LABEL_WORDS = 4
"""Words up to which an answer in plain text counts as a label."""
_AVERAGED_ROWS = 5_000
"""Rows up to which three divisions into folds are averaged, because one division of few rows is noisy."""
_MAX_CHARACTERS = 4_000_000
"""Characters of all texts together that L005 reads, about 15 s: of 10,000 rows, the first 400 characters of each."""
_MAX_WORK = 50_000_000
"""Numbers in the matrix of TF-IDF, times classes, times divisions into folds, up to which the classifier trains on the
matrix itself, which takes about 20 s. Beyond it, the matrix is reduced to vectors."""
_DIMENSIONS = 200
_MAX_DECOMPOSED = 1_500_000
"""Numbers of the matrix of TF-IDF from which the reduction to 200 dimensions is computed."""
_MAX_TRAINED = 800_000
"""Rows times classes that a classifier on 200 dimensions trains on."""
_SECONDS = 20.0
"""Time of all classifiers on vectors together, where the rule has no time limit."""


def _has_labels(context: LintContext) -> bool:
    """Whether the task's output is a choice of labels."""
    return context.task.output.kind == "choice"


class ConflictingTargets(CorpusRule):
    """The same input has different answers.

    Rows with the same input have different answers. Training pulls the weights in both directions: two such rows
    leave only noise, and no model can be right on both. Case, punctuation and spacing of the input are not compared.

    Decide on one answer, or add to the input what distinguishes the rows. For free text, where several answers are
    correct, ignore the rule: ``--ignore L001``.
    """

    code = "L001"
    name = "conflicting-targets"
    density_part = "agreeing"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if context.kind == "demonstrations" else ""

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        features = corpus.features
        answered = np.flatnonzero(features.answer != 0)
        for rows in equal_rows(features.normalized_input, answered):
            counts = Counter(features.normalized_answer[rows].tolist())
            if len(counts) < 2:
                continue
            answers = features.normalized_answer[rows].tolist()
            # The first row of each of a few answers is enough to name related rows.
            firsts: dict[int, int] = {}
            for row, answer in zip(rows.tolist(), answers, strict=True):
                if len(firsts) < 4:
                    firsts.setdefault(answer, row)
            message = "the same input has another answer elsewhere"
            if len(counts) > 2:
                message = f"rows with the same input have {len(counts)} different answers"
            for row, answer in zip(rows.tolist(), answers, strict=True):
                others = [first for other, first in firsts.items() if other != answer]
                yield RuleFinding(message, row=row, others=tuple(others[:3]))


class NearConflictingTargets(CorpusRule):
    """Nearly the same input has a different answer.

    Rows with nearly the same input (four fifths of the word triples are shared) have different answers. For answers
    that are labels, every difference counts. For JSON answers, those values count that differ although the words in
    which the inputs differ are unrelated to them; numbers, and texts with a number in the difference, are left out,
    because they may be derived.

    Often one of the two is a mistake. If the small difference between the inputs matters, ignore the rows.
    """

    code = "L002"
    name = "near-conflicting-targets"
    density_part = "agreeing"
    needs_minhash = True

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.kind != "demonstrations" else missing_extra("rensa")

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        features = corpus.features
        for pair in corpus.near_duplicates:
            if features.normalized_answer[pair.first] == features.normalized_answer[pair.second]:
                continue
            first, second = corpus.view(pair.first), corpus.view(pair.second)
            path = "$" if _are_labels(first, second) else _unexplained_field(first, second)
            if path is not None:
                yield RuleFinding(
                    f"an input with {percent(pair.similarity)} similarity has another answer",
                    path,
                    row=pair.second,
                    others=(pair.first,),
                )


def _are_labels(first: RowView, second: RowView) -> bool:
    if first.value is not None or second.value is not None or first.tool_calls or second.tool_calls:
        return False
    return max(len(first.answer_words), len(second.answer_words)) <= _LABEL_WORDS


def _unexplained_field(first: RowView, second: RowView) -> str | None:
    """The path of a value that differs and that the difference between the inputs does not explain."""
    if contain_digit(differing_words(first, second)):  # a text may be derived from a number, too
        return None
    name = next(contradicted_fields(first, second), None)
    return None if name is None else f"$.{name}"


class MisplacedValue(VariantRule):
    """A value is in another field than in nearly all other rows.

    A value that is in one field in nearly all rows is in another field here, for example "Blvd" as the name of a
    street instead of its type. Annotators make such mistakes when they tire.

    Checks values of up to three words that occur in at least eight rows. A field is suspicious if 95 % of them are in
    another field, and this other field is empty in the row, or has a value that it has nowhere else. Review each
    finding: the same word can have two meanings.
    """

    code = "L006"
    name = "misplaced-value"
    severity = "info"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.task.output.kind == "choice" else None

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        for path, value in view.leaf_values:
            key = _short_value(value)
            if key is not None:
                yield key, path

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        suspects: dict[int, list[tuple[str, RuleFinding]]] = {}
        for key, variants in counter:
            total = sum(variants.values())
            usual, count = next(iter(variants.items()))
            if total < 8 or count < 0.95 * total or len(variants) < 2:
                continue
            for variant in list(variants)[1:]:
                for row in dict.fromkeys(counter.rows(key, variant)):
                    finding = RuleFinding(
                        f'"{key}" is {usual} in {count:,} of {counted(total, "row")}', variant, row=row
                    )
                    suspects.setdefault(row, []).append((usual, finding))
        for view in corpus.views(suspects):
            for usual, finding in suspects[view.number]:
                if not any(_is_at_home(value, usual, counter) for path, value in view.leaf_values if path == usual):
                    yield finding


def _short_value(value: Any) -> str | None:
    """The words of a value that L006 counts: up to three, and not only digits."""
    words = words_of(value) if isinstance(value, str) else []
    return " ".join(words) if 0 < len(words) <= 3 and not all(word.isdigit() for word in words) else None


def _is_at_home(value: Any, path: str, counter: VariantCounter) -> bool:
    """Whether a value fills its field: it is not empty, and not alone in having this field."""
    if value is None or value == "":
        return False
    key = _short_value(value)
    return key is None or counter.count(key, path) > 1


class ClassImbalance(VariantRule):
    """One class has many times the rows of another.

    One class has most of the rows. A model that always predicts it is right most of the time, and training finds
    this solution first.

    Reported if the largest class has 20 times the rows of the smallest, or 90 % of all rows. Collect rows of the rare
    classes, or drop some of the most frequent one. In the report, read recall by class instead of accuracy.
    """

    code = "L003"
    name = "class-imbalance"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if _has_labels(context) else ""

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        if view.row is not None and view.row.target is not None and view.split == "train":
            yield "classes", str(view.row.target)

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for _, variants in counter:
            total, (most, many) = sum(variants.values()), next(iter(variants.items()))
            least, few = list(variants.items())[-1]
            if len(variants) > 1 and (many >= 20 * few or many >= 0.9 * total):
                yield RuleFinding(f"{most!r} has {many:,} of {counted(total, 'row')}, {least!r} has {few:,}")


class SmallClass(VariantRule):
    """A class has too few rows to split.

    A class has fewer than five rows, or none: too few to learn it, and too few for both sides of a split.

    Collect more, or merge the class with another.
    """

    code = "L004"
    name = "small-class"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return None if _has_labels(context) else ""

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        if view.row is not None and view.row.target is not None:
            yield "classes", str(view.row.target)

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        declared: Any = getattr(corpus.context.task.output, "choices", ())
        variants = next((variants for _, variants in counter), {})
        for label in declared:
            count = variants.get(label, 0)
            if count < 5:
                rows = counter.rows("classes", label) if count else None
                what = "no row" if not count else "1 row" if count == 1 else f"{counted(count, 'row')}"
                yield RuleFinding(f"the class {label!r} has {what}", row=rows[0] if rows else None)


class LikelyMislabel(CorpusRule):
    """A classifier trained on the other rows predicts another label.

    A simple classifier, trained on all other rows, predicts another label with confidence. Among such rows, wrong
    labels are many times as frequent as elsewhere. A person should review each of them.

    Method: TF-IDF over words, word pairs and character n-grams, logistic regression, five folds, and three different
    splits for up to 5,000 rows. A row is reported if the probability of its label is below the mean that the classifier
    gives to rows of that label, another label's probability is above that label's mean (confident learning, C.
    Northcutt et al., https://arxiv.org/abs/1911.00068), and it is three times as high as that of the row's own label.
    Needs 50 to 50,000 rows and two classes of at least five.

    Many rows of many classes would take minutes. The vectors are then reduced to 200 dimensions, and if there are still
    too many, the classifier is trained on a sample of the rows. Every row is checked, and the message says "sampled".
    Classifiers on vectors end when the rule's time is up. The report says what was left out.
    """

    code = "L005"
    name = "likely-mislabel"
    severity = "info"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return missing_extra("sklearn") if _has_labels(context) else ""

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        numbers = np.flatnonzero(corpus.features.answer != 0)
        if not 50 <= len(numbers) <= 50_000:
            return
        labels, texts = [], []
        without_images = []
        for view in corpus.views(numbers.tolist()):
            if view.media:  # the label may depend on what only the image shows
                continue
            without_images.append(view.number)
            labels.append("" if view.row is None else str(view.row.target))
            texts.append(view.input)
        numbers = np.array(without_images, dtype=np.int64)
        frequent = {label for label, count in Counter(labels).items() if count >= 5}
        if len(frequent) < 2:
            return
        used = np.array([label in frequent for label in labels])
        numbers = numbers[used]
        given = np.array([label for label in labels if label in frequent])
        used_texts = [text for text, is_used in zip(texts, used, strict=True) if is_used]
        probabilities, classes, is_sampled = _probabilities(used_texts, given, corpus.budget)
        own = np.searchsorted(classes, given)
        mean = np.array([probabilities[own == at, at].mean() for at in range(len(classes))])
        confident = np.where(probabilities >= mean, probabilities, 0.0)
        confident[np.arange(len(own)), own] = 0.0
        best = confident.argmax(axis=1)
        own_probability = probabilities[np.arange(len(own)), own]
        best_probability = confident[np.arange(len(own)), best]
        likely = (best_probability > 0) & (best_probability >= 3 * own_probability) & (own_probability < mean[own])
        for at in np.flatnonzero(likely):
            own_share, best_share = percent(own_probability[at]), percent(best_probability[at])
            message = (
                f"labelled '{given[at]}', which has probability {own_share}; '{classes[best[at]]}' has {best_share}"
            )
            yield RuleFinding(message + " (sampled)" * is_sampled, row=int(numbers[at]))


def _probabilities(
    texts: list[str], labels: NDArray[np.str_], budget: TimeBudget
) -> tuple[NDArray[np.float64], NDArray[np.str_], bool]:
    """[rows, classes] probabilities by classifiers that have not seen the row; sorted classes; whether they sampled."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_union

    budget.step("words and letters of the rows")
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    size = _MAX_CHARACTERS // len(texts)
    if any(len(text) > size for text in texts):
        budget.limit(f"read the first {size:,} characters of each row")
    vectors: Any = make_union(words, characters).fit_transform([text[:size] for text in texts]).tocsr()
    classes = np.unique(labels)
    seeds = 3 if len(texts) <= _AVERAGED_ROWS else 1
    if vectors.nnz * len(classes) * seeds > _MAX_WORK:
        return *_dense_probabilities(vectors, labels, classes, budget), True
    probabilities = np.zeros((len(texts), len(classes)))
    for seed in range(seeds):
        for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(vectors, labels):
            classifier = LogisticRegression(C=10.0, max_iter=300, class_weight="balanced")
            classifier.fit(vectors[train], labels[train])
            columns = np.searchsorted(classes, classifier.classes_)
            probabilities[np.ix_(test, columns)] += classifier.predict_proba(vectors[test])
    return probabilities / seeds, classes, False


def _dense_probabilities(
    vectors: Any, labels: NDArray[np.str_], classes: NDArray[np.str_], budget: TimeBudget
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """The same by classifiers on 200 dimensions, each trained on a sample of the rows and within its share of time."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.model_selection import StratifiedKFold

    budget.step("vectors of the rows")
    step = 1 + vectors.nnz // _MAX_DECOMPOSED
    decomposition = TruncatedSVD(min(_DIMENSIONS, *vectors[::step].shape), n_iter=3, random_state=0)
    decomposition.fit(vectors[::step])
    dense = decomposition.transform(vectors).astype(np.float32)
    own = np.searchsorted(classes, labels)
    max_rows = max(len(classes) * 5, _MAX_TRAINED // len(classes))
    probabilities = np.zeros((len(labels), len(classes)))
    left_out = []
    for fold, (train, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(dense, labels)):
        budget.step(f"classifier {fold + 1} of 5")
        used = train
        if len(train) > max_rows:
            used = _sample_of_each_class(train, labels, max_rows)
            left_out.append(f"trained on {len(used):,} of {counted(len(train), 'row')}")
        seconds = _SECONDS / 5 if budget.seconds is None else max(0.5, budget.left_s / (5 - fold))
        classifier = SoftmaxRegression(10.0, seconds).fit(dense[used], own[used], len(classes))
        if not classifier.converged:
            left_out.append("ended its training when its time was up")
        probabilities[test] = classifier.predict_proba(dense[test])
    if left_out:
        budget.limit("; ".join(dict.fromkeys(left_out)))
    return probabilities, classes


def _sample_of_each_class(rows: NDArray[np.int64], labels: NDArray[np.str_], max_rows: int) -> NDArray[np.int64]:
    """About ``max_rows`` of the rows: of each class the same share, but at least four rows."""
    step = -(-len(rows) // max_rows)
    by_label = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
    return np.sort(np.concatenate([some[:: min(step, max(1, len(some) // 4))] for some in by_label]))
