"""How plainly a clause states a word as the answer to a question.

An answer is read as right only with positive evidence: a clause that says nothing but the question's words and the
answer, and no clause that says the same of another word. What else a text may say of the right word, such as "Paris is
only the largest city", is no answer to the question. The rules need no list of wrong answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise

from ftkit.evaluation.probes.clauses import (
    COPULAS,
    DETERMINERS,
    PREPOSITIONS,
    Clause,
    Word,
    clauses_of,
    is_function,
    same_word,
)
from ftkit.evaluation.probes.number_words import with_digits
from ftkit.evaluation.probes.word_lists import word_list

__all__ = ["Level", "Question", "Statement", "is_bare", "preposition_before", "question_of", "statement"]

_ASKING = word_list("asking")
_TOPICS = word_list("topics")
_DISTANT = word_list("distant")
"""Prepositions that place something beside what is asked for: "near Paris"."""
_ANSWERING = frozenset({"", "in", "on", "at", "by", "of"})
"""Prepositions with which an answer may begin: "In 1969"."""
_HEADS = word_list("heads")
"""Nouns that "of" and the name of the thing itself may follow: "the city of Paris"."""
_DEMONYM = re.compile(r"(?:[a-z]{2,30}(?:an|ese|ish|ic)|french|greek|dutch|swiss|renaissance)\Z", re.IGNORECASE)
_MAX_ATTRIBUTES = 3


class Level(IntEnum):
    """How plainly a clause answers the question by a word.

    ``ASIDE``: it is about something else. ``LOOSE``: it is about the question, and says more than its words.
    ``PLAIN``: it has nothing but the word and words of the question.
    """

    ASIDE = 0
    LOOSE = 1
    PLAIN = 2


@dataclass(frozen=True)
class Question:
    """What a question says.

    Attributes:
        text: The question, with number words as digits.
        words: Its words with a meaning, in lower case.
        asking: Those of them in the sentence that asks.
        background: Those of them in the sentences before that.
        nouns: Those of them that follow an article.
        prepositions: The prepositions before words of the question.
        of: Those of them that "of" follows.
        past: Whether it asks for something in the past.
    """

    text: str
    words: frozenset[str]
    asking: frozenset[str]
    background: frozenset[str]
    nouns: frozenset[str]
    prepositions: frozenset[str]
    of: frozenset[str]
    past: bool

    def has(self, word: str) -> bool:
        """Check whether the question has a word, in any form.

        Args:
            word: The word in lower case.

        Returns:
            Whether it has.
        """
        return any(same_word(word, own) for own in self.words)

    def asks(self, word: str) -> bool:
        """Check whether the sentence that asks has a word, in any form.

        Args:
            word: The word in lower case.

        Returns:
            Whether it has.
        """
        return any(same_word(word, own) for own in self.asking)

    def only_asks(self, word: str) -> bool:
        """Check whether the sentence that asks has a word, and those before have not.

        Args:
            word: The word in lower case.

        Returns:
            Whether it is so.
        """
        return self.asks(word) and not any(same_word(word, own) for own in self.background)


@dataclass(frozen=True)
class Statement:
    """What a clause says of a word.

    Attributes:
        level: How plainly it states the word as the answer.
        shared: Number of words of the question that it has.
        foreign: Number of other words.
    """

    level: Level
    shared: int
    foreign: int


@lru_cache(maxsize=512)
def question_of(text: str) -> Question:
    """Read a question.

    Args:
        text: The question.

    Returns:
        Its words.
    """
    text = with_digits(text)
    clauses = clauses_of(text)
    lowers = [[word.lower for word in clause.words] for clause in clauses]
    last = max((match.end() for match in re.finditer(r"[.!:]\s", text[: text.find("?") + 1])), default=0)
    asking = {word.lower for clause in clauses for word in clause.words if word.start >= last and word.kind == "word"}
    background = {
        word.lower for clause in clauses for word in clause.words if word.start < last and word.kind == "word"
    }
    pairs = [pair for each in lowers for pair in pairwise(each)]
    return Question(
        text=text,
        words=frozenset((asking | background) - _ASKING),
        asking=frozenset(asking - _ASKING),
        background=frozenset(background - _ASKING),
        nouns=frozenset(second for first, second in pairs if first in DETERMINERS),
        prepositions=frozenset(
            first
            for first, second in pairs
            if first in PREPOSITIONS and (second in DETERMINERS or not is_function(second))
        ),
        of=frozenset({first for first, second in pairs if second == "of"} - _ASKING),
        past=re.search(r"\b(?:did|was|were|wrote|painted|proposed|received)\b", text) is not None,
    )


def _is_named(word: str) -> bool:
    return word in DETERMINERS or not is_function(word)


def preposition_before(clause: Clause, first: int) -> str:
    """Find the preposition of a noun, over its article and adjectives.

    Args:
        clause: The clause.
        first: Index of the noun's first word.

    Returns:
        The preposition in lower case; empty if there is none.
    """
    for word in reversed(clause.words[max(0, first - 1 - _MAX_ATTRIBUTES) : first]):
        if word.lower in PREPOSITIONS:
            return word.lower
        if word.lower not in DETERMINERS and not word.content:
            return ""
    return ""


def is_bare(clause: Clause, candidates: Collection[int]) -> bool:
    """Check whether a clause is nothing but candidates.

    Args:
        clause: The clause.
        candidates: Indices of their words.

    Returns:
        Whether it has no other word with a meaning, and no verb.
    """
    rest = [word for index, word in enumerate(clause.words) if index not in candidates]
    return not any(word.content or (word.kind == "word" and word.lower in COPULAS) for word in rest)


def statement(
    clause: Clause,
    first: int,
    last: int,
    question: Question,
    *,
    others: Collection[int] = (),
    is_foreign_number: Callable[[int], bool] = lambda _: False,
) -> Statement:
    """Say how plainly a clause states a word as the answer.

    Args:
        clause: The clause.
        first: Index of the first word.
        last: Index after the last word.
        question: The question.
        others: Indices of the words of other candidates, which are no foreign words.
        is_foreign_number: Whether the number at an index is neither of the question nor explained.

    Returns:
        The statement.
    """
    words = clause.words
    preposition = preposition_before(clause, first)
    skipped = {*range(first, last), *others, *_attributes(clause, first)}
    only = is_bare(clause, skipped)
    if (
        preposition in _DISTANT
        or (only and preposition not in _ANSWERING)
        or _turned(words, first, question)
        or _owned(words, first, last, question)
    ):
        return Statement(Level.ASIDE, 0, 0)
    shared, foreign, topical = set(), 0, False
    phrase = ""  # the preposition of the phrase that the loop is in
    for index, word in enumerate(words):
        if first <= index < last:
            phrase = ""
            continue
        if word.lower in PREPOSITIONS:
            phrase = word.lower
        elif word.lower in COPULAS or (word.lower in DETERMINERS and words[index - 1].lower not in PREPOSITIONS):
            phrase = ""
        topical |= word.lower in _TOPICS
        if word.kind == "number":
            foreign += index not in others and is_foreign_number(index)
        elif word.kind == "word" and question.has(word.lower):
            shared.add(word.lower)
        elif word.content and index not in skipped:
            named = word.capital and (index < first or phrase == "of")
            foreign += phrase in ("", "of") or named or (phrase in question.prepositions and index > first)
    level = Level.ASIDE
    if not foreign:
        level = Level.PLAIN if shared or topical or only else Level.LOOSE
    elif shared or topical:
        level = Level.LOOSE
    return Statement(level, len(shared), foreign)


def _turned(words: tuple[Word, ...], first: int, question: Question) -> bool:
    """Whether the relation is turned round: "the capital of Paris", where the question asks for that of France."""
    return (
        first >= 2
        and words[first - 1].lower == "of"
        and any(same_word(words[first - 2].lower, own) for own in question.of)
    )


def _owned(words: tuple[Word, ...], first: int, last: int, question: Question) -> bool:
    """Whether the subject is something else of the word: "the people of Paris", "Paris's people"."""
    if words[last - 1].text.endswith(("'s", "’s")):
        end = last
        while end < len(words) and words[end].content and not question.has(words[end].lower):
            end += 1
        return last < end < len(words) and not any(same_word(words[end].lower, noun) for noun in question.nouns)
    of = first - 1 if first and words[first - 1].lower not in DETERMINERS else first - 2
    if of < 1 or words[of].lower != "of" or last == len(words):
        return False
    before = [word for word in words[:of] if word.lower not in DETERMINERS]
    head = words[of - 1].lower
    return (
        all(word.content for word in before) and words[of - 1].content and head not in _HEADS and not question.has(head)
    )


def _attributes(clause: Clause, first: int) -> range:
    """Words that only describe the noun after them: "the Italian artist Leonardo"."""
    words, start = clause.words, first
    while start > 0 and first - start < _MAX_ATTRIBUTES and words[start - 1].content:
        start -= 1
    if start == first:
        return range(first, first)
    if start > 0:
        before = words[start - 1].lower
        described = before in DETERMINERS or before in PREPOSITIONS or before in COPULAS
    else:
        described = is_demonym(words[0])
    return range(start, first) if described else range(first, first)


def is_demonym(word: Word) -> bool:
    """Check whether a word is an adjective of a place: "Italian".

    Args:
        word: The word.

    Returns:
        Whether it may be one.
    """
    return word.capital and _DEMONYM.match(word.text) is not None and not is_function(word.lower)
