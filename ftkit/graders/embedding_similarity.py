"""Cosine similarity of texts' embeddings. Each distinct text is embedded once, all in one call."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.errors import DataError, HostError
from ftkit.graders.base import Embed
from ftkit.graders.grade import GradingError

__all__ = ["cosines"]

_Found = dict[str, "Sequence[float] | GradingError"]


def cosines(pairs: Sequence[tuple[str, str]], embed: Embed) -> list[float | GradingError]:
    """Compute the cosine similarity of each pair of texts.

    The similarity with an empty text is 0, because it has no embedding.

    Args:
        pairs: pairs of texts.
        embed: embeds texts.

    Returns:
        For each pair the cosine, from -1 to 1, or why there is none.

    Raises:
        HostError: the host refuses the key or the model.
        ModelError: the model cannot be loaded.
    """
    found = _embedded(list(dict.fromkeys(text for pair in pairs for text in pair if text)), embed)
    return [_cosine(found.get(text, ()), found.get(wanted, ())) for text, wanted in pairs]


def _embedded(texts: list[str], embed: Embed) -> _Found:
    """Embed texts; if a call fails because of one text, halve the texts until the others are embedded."""
    if not texts:
        return {}
    try:
        return dict(zip(texts, embed(texts), strict=True))
    except DataError as error:
        if len(texts) == 1:
            return {texts[0]: GradingError("other_error", str(error))}
    except HostError as error:
        if not error.passing:
            raise
        return dict.fromkeys(texts, GradingError("model_grader_server_error", str(error)))
    half = len(texts) // 2
    return _embedded(texts[:half], embed) | _embedded(texts[half:], embed)


def _cosine(first: Sequence[float] | GradingError, second: Sequence[float] | GradingError) -> float | GradingError:
    if isinstance(first, GradingError):
        return first
    if isinstance(second, GradingError):
        return second
    if not len(first) or not len(second):
        return 0.0
    import numpy as np  # declaring a grader loads no numpy

    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    lengths = np.linalg.norm(left) * np.linalg.norm(right)
    return float(left @ right / lengths) if lengths else 0.0
