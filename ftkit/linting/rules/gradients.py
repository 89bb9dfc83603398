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
_ALIKE = 0.3
"""Cosine of TF-IDF vectors from which on two inputs are alike."""
_OPPOSED = -0.1
"""Cosine of two gradients from which on they oppose each other. Of unrelated rows it is mostly positive: all rows
teach the format."""


class GradientConflict(WholeRule):
    """Two rows ask much the same, and the gradients of their losses point in opposite directions: what the one teaches
    the other undoes. This is the contradiction itself, measured in the model that is to be trained, and it finds what
    no comparison of texts can: answers that are worded alike and pull apart.

    For each row the gradient by a LoRA adapter's matrices is computed once (a forward and a backward pass) and mixed
    into 2,048 numbers that keep its direction. Of the five rows with the most similar inputs (TF-IDF over pieces of
    words, cosine 0.3 or more) those are reported whose gradients have a cosine of −0.1 or less, the most opposed first.

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
        pairs = _alike([one.input for one in seen])
        for model in local_models(whole.setting):
            sketches = gradient_sketches(model, (cast(Row, one.row) for one in seen))
            cosines = np.sum(sketches[pairs[:, 0]] * sketches[pairs[:, 1]], axis=1)
            for at in np.argsort(cosines):
                if cosines[at] > _OPPOSED:
                    break
                first, second = pairs[at]
                said = f"cosine {cosines[at]:.2f} in {model}"
                yield Found(
                    f"the gradients of two rows with similar inputs oppose each other: {said}",
                    row=int(able[second]),
                    others=(int(able[first]),),
                )


def _alike(texts: list[str]) -> Any:
    """[pairs, 2] numbers of texts that are neighbours, each pair once, the earlier text first."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import NearestNeighbors

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(texts)
    count = min(_NEIGHBOURS + 1, len(texts))
    distances, neighbours = NearestNeighbors(n_neighbors=count, metric="cosine").fit(vectors).kneighbors(vectors)
    found = {
        (min(row, int(other)), max(row, int(other)))
        for row in range(len(texts))
        for distance, other in zip(distances[row], neighbours[row], strict=True)
        if other != row and distance <= 1 - _ALIKE
    }
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
