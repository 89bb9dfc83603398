"""G: contradictions as the model feels them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from ftkit.data import Row
from ftkit.linting.finding import Found
from ftkit.linting.rule import WholeRule, not_installed
from ftkit.linting.rules.tokens import local_models
from ftkit.linting.setting import Setting
from ftkit.linting.whole import Whole

__all__ = ["GradientConflict"]

_NEIGHBOURS = 5
_ALIKE, _OPPOSED = 0.3, -0.3
"""Inputs whose TF-IDF vectors have at least the first cosine, and gradients that have at most the second."""
_SAME, _APART = 0.8, 0.5
"""Likewise, for inputs that are nearly the same. With the same answer their gradients have 0.9 and more."""


class GradientConflict(WholeRule):
    """Two rows ask much the same, and the gradients of their losses point in opposite directions: what the one teaches
    the other undoes. This is the contradiction itself, measured in the model that is to be trained, and it finds what
    no comparison of texts can: answers that are worded alike and pull apart.

    For each row the gradient by a LoRA adapter's matrices is computed once (a forward and a backward pass) and mixed
    into 2,048 numbers that keep its direction. What all rows have in common (they all teach the format) is subtracted.
    Of the five rows with the most similar inputs (TF-IDF over pieces of words) those are reported whose gradients have
    a cosine of −0.3 or less, where the inputs' is 0.3 or more; and of 0.5 or less, where the inputs' is 0.8 or more.
    The most opposed come first.

    Only with ``gradients=`` or ``--gradients N``, a ``local:`` backend, and for the first N rows: half a second a row
    for 135 million weights on two CPU cores.
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
        from ftkit.engine.gradients import gradient_sketches

        able = np.flatnonzero(whole.facts.answer[whole.training] != 0)[: whole.setting.gradients]
        seen = [whole.seen(int(number)) for number in able]
        if len(seen) < 2:
            return
        pairs, likeness = _alike([one.input for one in seen])
        for model in local_models(whole.setting):
            cosines = _cosines(gradient_sketches(model, (cast(Row, one.row) for one in seen)), pairs)
            opposed = ((likeness >= _ALIKE) & (cosines <= _OPPOSED)) | ((likeness >= _SAME) & (cosines <= _APART))
            for at in np.argsort(cosines):
                if opposed[at]:
                    first, second = pairs[at]
                    yield Found(
                        f"the gradients of two rows pull apart in {model}: cosine {cosines[at]:.2f}, "
                        f"that of the inputs is {likeness[at]:.2f}",
                        row=int(able[second]),
                        others=(int(able[first]),),
                    )


def _cosines(sketches: Any, pairs: Any) -> Any:
    """Of each pair the cosine of the two gradients, without what all have in common."""
    own = sketches - sketches.mean(axis=0)
    own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
    return np.sum(own[pairs[:, 0]] * own[pairs[:, 1]], axis=1)


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
