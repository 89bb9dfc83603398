"""Lists of English words that the reading of answers needs."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["word_list"]


def word_list(*names: str) -> frozenset[str]:
    """Load lists of words.

    Args:
        names: Names of the lists in ``word_lists.txt``.

    Returns:
        Their words, in lower case.
    """
    return frozenset().union(*(_lists()[name] for name in names))


@cache
def _lists() -> dict[str, frozenset[str]]:
    text = (files("ftkit.evaluation.probes") / "word_lists.txt").read_text(encoding="utf-8")
    lines = [line.partition(":") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: frozenset(words.split()) for name, _, words in lines}
