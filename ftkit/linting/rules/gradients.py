"""G: contradictions between gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ftkit.data import Row
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.json_answers import contradicted_fields, field_spans
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import CorpusRule, missing_extra

_NEIGHBOURS = 5
"""Rows with the most similar inputs to which each row is compared."""
_SIMILAR_INPUTS, _OPPOSED_GRADIENTS = 0.3, -0.3
"""Cosine from which two inputs (TF-IDF) are similar, and up to which gradients are opposed."""
_EQUAL_INPUTS, _DIVERGING_GRADIENTS = 0.8, 0.5
"""The same for inputs that are nearly equal. With the same answer, their gradients have a cosine of 0.9 and more."""
_BACKGROUND_ROWS = 32
"""Further rows whose gradients are part of the mean that is subtracted."""

Part = str | None
"""A top-level field of JSON answers, or None for the whole answer."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Two rows to compare in one part of their answers, by their numbers among the compared rows."""

    first: int
    second: int
    part: Part
    input_cosine: float


class GradientConflict(CorpusRule):
    """A row with a similar input pulls the weights the other way.

    Two rows have similar inputs and different answers, and the gradients of their losses point in different
    directions: one row undoes what the other teaches. This measures the contradiction in the model that is to be
    trained. Two wordings of the same answer are not reported, because their gradients agree.

    For JSON answers the gradient of each field is computed separately: in a record of five fields, four that agree
    would hide the one that does not. Only fields with different texts are compared that the words in which the inputs
    differ do not explain. Numbers may be derived and are left out, as in L002.

    Each gradient is that of the matrices of a LoRA adapter, projected to 2,048 numbers that preserve its direction (a
    count sketch). The mean over rows is subtracted, because all rows teach the format. Of the five rows with the most
    similar inputs (TF-IDF over character n-grams), those are reported whose gradients have a cosine of −0.3 or less if
    that of the inputs is 0.3 or more, and of 0.5 or less if that of the inputs is 0.8 or more. The most opposed pairs
    come first.

    Needs ``gradients=`` or ``--gradients N`` and a ``local:`` backend, and compares the first N rows. Computed only for
    rows with something to compare, and up to 32 others: about half a second each for 135 million weights on two CPU
    cores.
    """

    code = "G001"
    name = "gradient-conflict"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        if not context.gradients:
            return ""
        if context.kind != "demonstrations" or not context.local_models:
            return "it needs demonstrations and a local: backend"
        return missing_extra("torch", extra="local") or missing_extra("sklearn")

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        numbers = np.flatnonzero(corpus.features.answer[corpus.training] != 0)[: corpus.context.gradients].tolist()
        views = list(corpus.views(numbers))
        if len(views) < 2:
            return
        comparisons = [
            _Comparison(first, second, part, cosine)
            for first, second, cosine in _similar_pairs([view.input for view in views])
            if views[first].media == views[second].media
            for part in _differing_parts(views[first], views[second])
        ]
        if not comparisons:
            return
        parts = _parts_by_row(comparisons, len(views))
        for model in corpus.context.local_models:
            directions = _gradient_directions(model, views, parts)
            compared = [
                (float(directions[each.first, each.part] @ directions[each.second, each.part]), each)
                for each in comparisons
                if (each.first, each.part) in directions and (each.second, each.part) in directions
            ]
            for cosine, each in sorted(compared, key=lambda item: (item[0], item[1].first, item[1].second)):
                opposed = each.input_cosine >= _SIMILAR_INPUTS and cosine <= _OPPOSED_GRADIENTS
                if opposed or (each.input_cosine >= _EQUAL_INPUTS and cosine <= _DIVERGING_GRADIENTS):
                    yield RuleFinding(
                        f"the gradients of two rows diverge in {model}: cosine {cosine:.2f}, "
                        f"that of the inputs is {each.input_cosine:.2f}",
                        "$" if each.part is None else f"$.{each.part}",
                        row=numbers[each.second],
                        others=(numbers[each.first],),
                    )


def _differing_parts(first: RowView, second: RowView) -> list[Part]:
    """The parts in which two answers differ."""
    if isinstance(first.value, dict) and isinstance(second.value, dict):
        return [*contradicted_fields(first, second)]
    return [None] if first.answer_words != second.answer_words else []


def _parts_by_row(comparisons: Sequence[_Comparison], rows: int) -> dict[int, set[Part]]:
    """By row, the parts whose gradients are needed: those compared, and all of them for some background rows."""
    parts: dict[int, set[Part]] = {}
    for each in comparisons:
        parts.setdefault(each.first, set()).add(each.part)
        parts.setdefault(each.second, set()).add(each.part)
    compared = {each.part for each in comparisons}
    others = [row for row in range(rows) if row not in parts]
    for row in others[:: max(1, len(others) // _BACKGROUND_ROWS)][:_BACKGROUND_ROWS]:
        parts[row] = compared
    return parts


def _gradient_directions(
    model: str, views: Sequence[RowView], parts: Mapping[int, set[Part]]
) -> dict[tuple[int, Part], NDArray[np.float32]]:
    """By row and part, the unit vector of the gradient, after the mean over rows was subtracted."""
    from ftkit.training.gradient_sketch import Span, gradient_sketches

    spans_by_row: dict[int, dict[Part, Span | None]] = {}
    for row, needed in parts.items():
        spans = field_spans(views[row].answer) if needed - {None} and isinstance(views[row].value, dict) else {}
        spans_by_row[row] = {
            part: spans.get(part) if part is not None else None for part in needed if part in (None, *spans)
        }
    requests = [(cast(Row, views[row].row), list(spans.values())) for row, spans in spans_by_row.items()]
    sketches = {
        (row, part): sketch
        for (row, spans), of_row in zip(spans_by_row.items(), gradient_sketches(model, requests), strict=True)
        for part, sketch in zip(spans, of_row, strict=True)
        if sketch.any()
    }
    directions = {}
    for part in {part for _, part in sketches}:
        mean = np.mean([sketch for (_, other), sketch in sketches.items() if other == part], axis=0)
        for key in [key for key in sketches if key[1] == part]:
            difference = sketches[key] - mean
            directions[key] = difference / max(float(np.linalg.norm(difference)), 1e-12)
    return directions


def _similar_pairs(texts: list[str]) -> list[tuple[int, int, float]]:
    """Numbers of texts that are neighbours, each pair once, the earlier text first; with the cosine."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import NearestNeighbors

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(texts)
    count = min(_NEIGHBOURS + 1, len(texts))
    distances, neighbours = NearestNeighbors(n_neighbors=count, metric="cosine").fit(vectors).kneighbors(vectors)
    cosines = {
        (min(row, int(other)), max(row, int(other))): 1 - float(distance)
        for row in range(len(texts))
        for distance, other in zip(distances[row], neighbours[row], strict=True)
        if other != row and distance <= 1 - _SIMILAR_INPUTS
    }
    return [(first, second, cosine) for (first, second), cosine in cosines.items()]
