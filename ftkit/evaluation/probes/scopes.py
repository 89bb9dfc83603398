"""Whether a number in an answer is that of something else than the question asks about.

"A pen costs 12 dollars" has the number and the unit that are asked for six pens, and is no right answer. Neither is a
number of all where that of each is asked, a number of today where the future is asked, a difference, or a number of
another subject. The rules compare the words around the number with those of the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ftkit.evaluation.probes.clauses import COPULAS, DETERMINERS, PREPOSITIONS, Word, same_word
from ftkit.evaluation.probes.statements import Question
from ftkit.evaluation.probes.word_lists import word_list

__all__ = ["asks_of", "is_out_of_scope", "singles_of"]

_ONE = frozenset({"a", "an", "one", "1", "each", "every", "per", "single"})
_DISTRIBUTING = frozenset({"each", "every", "apiece", "per"})
_TOGETHER = frozenset({"together", "altogether", "combined", "overall", "jointly"})
_OF_ALL = frozenset({("in", "total"), ("in", "all"), ("all", "of")})
_NOT_LATER = frozenset({"now", "today", "currently", "ago", "was", "were", "already"})
_BEFORE_SUBJECT = frozenset({"a", "an", "another", "his", "her", "their", "its", "my", "our", "your"})
_CALCULATING = frozenset({"gives", "makes", "equals", "equal", "=", "shows", "yields", "says"})
_AUXILIARIES = word_list("auxiliaries")
_MEASURES = word_list("measures")
_QUANTIFIED = re.compile(r"\b(an?|one|each|every|per|\d+)\s([a-z]+)", re.IGNORECASE)
_PLACED = re.compile(r"\b(in|per|for)\s(?:an?|one|each|every|\d+)\s([a-z]+)", re.IGNORECASE)
_TOTAL = re.compile(r"\b(?:in all|in total|altogether|together)\b", re.IGNORECASE)
_NOT_COUNTED = frozenset({"number", "word", "name"})
_NEAR = 4
"""Words after a number within which "than" makes it a difference."""


@dataclass(frozen=True)
class _Scope:
    """What a question asks the number of.

    Attributes:
        each: Whether it asks for that of one among several.
        later: Whether it asks for the future.
        counts: The numbers of the nouns of which it asks: 6 pens, 1 hour.
        placed: Nouns after "in", "per" or "for" with an article or a number.
    """

    each: bool
    later: bool
    counts: dict[str, set[float]]
    placed: frozenset[str]


def singles_of(question: Question) -> frozenset[str]:
    """Find the nouns of which a question names one: "a spider".

    Args:
        question: The question.

    Returns:
        The nouns in lower case.
    """
    found = (noun.casefold() for count, noun in _QUANTIFIED.findall(question.text) if count.casefold() in ("a", "an"))
    return frozenset(found) - _NOT_COUNTED


@lru_cache(maxsize=512)
def _scope_of(question: Question) -> _Scope:
    *_, asking = re.split(r"[.!]\s", question.text[: question.text.find("?") + 1])
    counted = question.text if _TOTAL.search(asking) else asking
    counts: dict[str, set[float]] = {}
    for count, noun in _QUANTIFIED.findall(counted):
        value = float(count) if count.isdigit() else 1.0
        if noun.casefold() not in _NOT_COUNTED:
            counts.setdefault(noun.casefold(), set()).add(value)
    return _Scope(
        each=re.search(r"\b(?:each|every|per)\b", asking, re.IGNORECASE) is not None,
        later=re.search(r"\bwill\b", asking, re.IGNORECASE) is not None,
        counts=counts,
        placed=frozenset(noun.casefold() for _, noun in _PLACED.findall(asking)),
    )


def is_out_of_scope(words: Sequence[Word], place: int, end: int, question: Question) -> bool:
    """Check whether a clause says the number of something else than is asked about.

    Args:
        words: The words of the clause.
        place: Index of the number.
        end: Index after its noun.
        question: The question.

    Returns:
        Whether it does.
    """
    scope = _scope_of(question)
    lowers = [word.lower for word in words]
    differs = "than" in lowers[end : end + _NEAR] or lowers[end:] in (["more"], ["less"], ["fewer"])
    if differs and "than" not in question.text:
        return True
    if scope.later and "will" not in lowers and not _NOT_LATER.isdisjoint(lowers):
        return True
    if scope.each:
        together = not _TOGETHER.isdisjoint(lowers) or any(pair in _OF_ALL for pair in pairwise(lowers))
        return together and _DISTRIBUTING.isdisjoint(lowers)
    others = any(word.kind == "number" and index != place and word.text != "1" for index, word in enumerate(words))
    if not others and any(_is_one_of_several(noun, scope) for noun in _nouns_of_one(lowers)):
        return True
    if lowers[end : end + 1] in (["each"], ["apiece"]) and any(max(values) > 1 for values in scope.counts.values()):
        return end + 1 == len(words)
    return _is_elsewhere(words, scope) or _is_of_another(words, place, question)


def asks_of(value: float, noun: str, question: Question) -> bool:
    """Check whether a question asks about this many of something: "3 hours".

    Args:
        value: How many.
        noun: Of what, in lower case.
        question: The question.

    Returns:
        Whether it does.
    """
    return any(same_word(noun, own) and value in values for own, values in _scope_of(question).counts.items())


def _nouns_of_one(lowers: Sequence[str]) -> Iterator[str]:
    """Nouns of which a clause names one: "each box", "one of the boxes"."""
    for index, word in enumerate(lowers[:-1]):
        if word in _ONE:
            following = lowers[index + 1 :]
            if following[0] == "of":
                following = [each for each in following[1:3] if each not in DETERMINERS]
            yield from following[:1]


def _is_one_of_several(noun: str, scope: _Scope) -> bool:
    values = {value for own, counts in scope.counts.items() if same_word(noun, own) for value in counts}
    return bool(values) and 1.0 not in values


def _is_elsewhere(words: Sequence[Word], scope: _Scope) -> bool:
    """Whether a noun of the question is replaced: "in a month", where the question has "in a week"."""
    if not scope.placed or any(same_word(word.lower, noun) for word in words for noun in scope.placed):
        return False
    return any(
        first.lower in ("in", "per", "for") and second.lower in _ONE and third.content
        for first, second, third in zip(words, words[1:], words[2:], strict=False)
    )


def _is_of_another(words: Sequence[Word], place: int, question: Question) -> bool:
    """Whether the subject is something that the question does not name: "Alcohol boils", "his sister will be"."""
    start = 1 if words[0].lower in DETERMINERS or words[0].lower in _BEFORE_SUBJECT else 0
    stop = start
    while stop < place and words[stop].content and not question.has(words[stop].lower):
        stop += 1
    if stop == start or stop >= place or words[stop].lower in PREPOSITIONS or words[stop].lower in _CALCULATING:
        return False
    if start and words[0].lower not in _BEFORE_SUBJECT:
        return False  # "the distance is"
    helping = [word.lower in COPULAS or word.lower in _AUXILIARIES for word in words[stop : stop + 2]]
    asked = [question.has(word.lower) for word in words[stop : stop + 2]]
    verb = helping[0] or (asked[0] and not any(helping[1:]) and not any(asked[1:]))  # "water boils" begins with a noun
    return verb and not any(word.lower in _MEASURES for word in words[start:stop])
