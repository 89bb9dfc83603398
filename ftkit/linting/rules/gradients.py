"""G: contradictions as the model feels them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from ftkit.data import Row
from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole
from ftkit.linting.finding import Found
from ftkit.linting.json_fields import contradicted_fields, field_spans
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import WholeRule, not_installed
from ftkit.linting.rules.tokens import local_models

__all__ = ["GradientConflict"]

_NEIGHBOURS = 5
_ALIKE, _OPPOSED = 0.3, -0.3
"""Inputs whose TF-IDF vectors have at least the first cosine, and gradients that have at most the second."""
_SAME, _APART = 0.8, 0.5
"""Likewise, for inputs that are nearly the same. With the same answer their gradients have 0.9 and more."""
_COMMON = 32
"""Rows beside those that are compared, from which it is learned what all gradients have in common."""


class GradientConflict(WholeRule):
    """Two rows ask much the same, answer otherwise, and the gradients of their losses point in different directions:
    what the one teaches the other undoes. This is the contradiction itself, measured in the model that is to be
    trained. Rewordings of one answer pass, because their gradients agree.

    Of JSON answers the gradient of each field is taken by itself: in a record of five fields, four that agree would
    hide the one that does not. Looked at are fields that hold different texts although the words in which the questions
    differ have nothing to do with them; numbers may be derived and are left out, as in L002.

    Each gradient is that of a LoRA adapter's matrices, mixed into 2,048 numbers that keep its direction. What all rows
    have in common (they all teach the format) is subtracted. Of the five rows with the most similar inputs (TF-IDF over
    pieces of words) those are reported whose gradients have a cosine of −0.3 or less, where the inputs' is 0.3 or more;
    and of 0.5 or less, where the inputs' is 0.8 or more. The most opposed come first.

    Only with ``gradients=`` or ``--gradients N``, a ``local:`` backend, and among the first N rows. Computed for rows
    that have something to compare, and up to 32 others: about half a second each for 135 million weights on two CPU
    cores.
    """

    code = "G001"
    name = "gradient-conflict"
    summary = "A row with a similar input pulls the weights the other way."

    def wants(self, setting: Setting) -> str | None:
        if not setting.gradients:
            return ""
        if setting.kind != "demonstrations" or not local_models(setting):
            return "it needs demonstrations and a local: backend"
        return not_installed("torch", extra="local") or not_installed("sklearn")

    def check(self, whole: Whole) -> Iterator[Found]:
        able = np.flatnonzero(whole.facts.answer[whole.training] != 0)[: whole.setting.gradients]
        seen = [whole.seen(int(number)) for number in able]
        if len(seen) < 2:
            return
        pairs, likeness = _alike([one.input for one in seen])
        compared = [
            (first, second, name, alike)
            for (first, second), alike in zip(pairs.tolist(), likeness.tolist(), strict=True)
            for name in _differing(seen[first], seen[second])
        ]
        if not compared:
            return
        names = _names(compared, len(seen))
        for model in local_models(whole.setting):
            own = _directions(model, seen, names)
            found = [
                (float(own[first, name] @ own[second, name]), first, second, name, alike)
                for first, second, name, alike in compared
                if (first, name) in own and (second, name) in own
            ]
            for cosine, first, second, name, alike in sorted(found, key=lambda one: one[:3]):
                if (alike >= _ALIKE and cosine <= _OPPOSED) or (alike >= _SAME and cosine <= _APART):
                    yield Found(
                        f"the gradients of two rows pull apart in {model}: cosine {cosine:.2f}, "
                        f"that of the inputs is {alike:.2f}",
                        "$" if name is None else f"$.{name}",
                        row=int(able[second]),
                        others=(int(able[first]),),
                    )


def _differing(one: Seen, other: Seen) -> list[str | None]:
    """What of two answers is worth comparing: fields by name, or None for the answers as a whole."""
    if isinstance(one.value, dict) and isinstance(other.value, dict):
        return [*contradicted_fields(one, other)]
    return [None] if one.answer_words != other.answer_words else []


def _names(compared: Sequence[tuple[int, int, str | None, float]], rows: int) -> dict[int, set[str | None]]:
    """By row, the parts whose gradients are needed: those that are compared, and of some other rows each of them."""
    names: dict[int, set[str | None]] = {}
    for first, second, name, _ in compared:
        names.setdefault(first, set()).add(name)
        names.setdefault(second, set()).add(name)
    every = {name for _, _, name, _ in compared}
    others = [row for row in range(rows) if row not in names]
    for row in others[:: max(1, len(others) // _COMMON)][:_COMMON]:
        names[row] = every
    return names


def _directions(
    model: str, seen: Sequence[Seen], names: Mapping[int, set[str | None]]
) -> dict[tuple[int, str | None], Any]:
    """By row and part the direction of the gradient, without what all rows have in common in that part."""
    from ftkit.training.gradient_sketch import Span, gradient_sketches

    asked: dict[int, dict[str | None, Span | None]] = {}
    for row, wanted in names.items():
        spans = field_spans(seen[row].answer) if wanted - {None} and isinstance(seen[row].value, dict) else {}
        asked[row] = {name: spans.get(name) if name is not None else None for name in wanted if name in (None, *spans)}
    rows = [(cast(Row, seen[row].row), list(parts.values())) for row, parts in asked.items()]
    sketches = {
        (row, name): sketch
        for (row, parts), found in zip(asked.items(), gradient_sketches(model, rows), strict=True)
        for name, sketch in zip(parts, found, strict=True)
        if sketch.any()
    }
    own = {}
    for name in {name for _, name in sketches}:
        common = np.mean([sketch for (_, other), sketch in sketches.items() if other == name], axis=0)
        for key in [key for key in sketches if key[1] == name]:
            apart = sketches[key] - common
            own[key] = apart / max(float(np.linalg.norm(apart)), 1e-12)
    return own


def _alike(texts: list[str]) -> tuple[Any, Any]:
    """[pairs, 2] numbers of texts that are neighbours, each pair once, the earlier text first; and their cosines."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import NearestNeighbors

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(texts)
    count = min(_NEIGHBOURS + 1, len(texts))
    distances, neighbours = NearestNeighbors(n_neighbors=count, metric="cosine").fit(vectors).kneighbors(vectors)
    found = {
        (min(row, int(other)), max(row, int(other))): 1 - float(distance)
        for row in range(len(texts))
        for distance, other in zip(distances[row], neighbours[row], strict=True)
        if other != row and distance <= 1 - _ALIKE
    }
    return np.array(list(found), dtype=np.int64).reshape(-1, 2), np.array(list(found.values()))
