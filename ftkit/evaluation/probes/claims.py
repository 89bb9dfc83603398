"""What an answer claims: words and numbers that it states, without those that it denies or leaves open.

The rules read short English answers. They look at the clause in which a word stands, so they neither need nor replace
a parser: "It is not Paris, it is Lyon." denies Paris, and "Paris, not Lyon." states it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from ftkit.evaluation.probes.number_words import with_digits

__all__ = [
    "Denials",
    "claims_taken_back",
    "claims_word",
    "has_word",
    "offers_several",
    "picks",
    "readable_numbers",
    "straight",
]

_MAX_CHARACTERS = 4_000
"""Answers to short questions are shorter; what comes later is not read."""

_MAX_MENTIONS = 100
"""Mentions of a word, and numbers, that are read."""

_BOUNDARY = re.compile(
    r"(?<=[.!?…])[\"')\]*_]*\s|[;:,](?=\s)|\n|\s[–—-]\s|(?<=\s)(?:but|however|although|though)(?=[\s,])",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?…\n]*(?:[.!?…](?=[^\s\"')])[^.!?…\n]*)*[.!?…]*\n?")
_DENIED_BEFORE = re.compile(
    r"\b(?:not|cannot|never|no|neither|nor|without|nobody|none|unlike|except|unsure|doubt|incorrect(?:ly)?|wrong(?:ly)?|"
    r"false|rather than|instead of|other than|isnt|wasnt|arent|dont|doesnt)\b|n't\b",
    re.IGNORECASE,
)
_NO_DENIAL = re.compile(
    r"\b(?:not only|not just|not merely)\b|n't (?:only|just|merely)\b|"
    r"\b(?:no doubt|without (?:a )?doubt|no question|no problem|no wonder|none other than)\b",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[\"'*_)]{0,4}\s{0,4}(?:(?:is|are|was|were|does|do|did|has|have|would|could|can|will|should)"
    r"(?:n't| not| never| no longer)|cannot|"
    r"used to be\b|(?:[\w°/]{1,12} )?(?:is|was|would be) "
    r"(?:wrong|incorrect|too (?:little|much|many|few|low|high|small|large))|"
    r"(?:is|was|are|were|would be)(?: a| an| the)?(?: completely| simply)? (?:wrong|incorrect|false|mistake))\b",
    re.IGNORECASE,
)
_OTHERS_SAY = re.compile(
    r"\b(?:some|many|most|people|others|you|one)\b(?: people)?(?: might| may| would| often)? "
    r"(?:say|think|believe|assume|guess|claim|expect)|\b(?:often|commonly|mistakenly) "
    r"(?:thought|believed|assumed|mistaken|confused)|\bif (?:it|the answer) (?:was|were|is)\b",
    re.IGNORECASE,
)
_ANSWERED_NO = re.compile(r"\W{0,4}(?:no|nope|wrong)\b", re.IGNORECASE)
_OR = re.compile(r"\W{1,4}or\W{1,4}", re.IGNORECASE)
_WAS_BEFORE = re.compile(r"\b(?:was|were|used to be)\s*$", re.IGNORECASE)
_NOT_ANY_MORE = re.compile(r"\s{0,4}(?:until|till|before|in the past|once|formerly)\b", re.IGNORECASE)
_OPEN = re.compile(
    r"\b(?:either|maybe|perhaps|possibly|could be|might be|may be|not sure|unsure|i guess|i think)\b", re.IGNORECASE
)
_TAKEN_BACK = re.compile(
    r"\b(?:wait|scratch that|correction|i meant|on second thought|i was wrong|that(?:'s| is| was) (?:wrong|incorrect)|"
    r"no, (?:it|that|the|this|i)|actually,? (?:it|the|that|no))\b|(?<=[,?.] )no, (?!really|doubt|question)(?=\w)",
    re.IGNORECASE,
)

_NUMERAL = re.compile(r"(?<![A-Za-z\d.,])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\d)")
_ENUMERATOR = re.compile(r"(?m)^[ \t]*(?:step[ \t]+)?\d{1,2}[.):][ \t]+(?=\S)", re.IGNORECASE)
_LESSER_AFTER = re.compile(
    r"\s{0,4}(?:<|(?:is|are|was|which is) (?:the )?(?:smaller|less|lower|lesser|fewer|shorter)\b)", re.IGNORECASE
)
_LESSER_BEFORE = re.compile(r"(?:>|\b(?:smaller|lower|lesser|shorter)(?: one| number)? (?:is|=))\s*$", re.IGNORECASE)
_LISTED = re.compile(
    r"\b(?:of|between|among|comparing)(?: the)?(?: two)?(?: numbers)?(?: \w{1,20},? and)?\s*$", re.IGNORECASE
)
_OFFERED = re.compile(
    rf"{_NUMERAL.pattern}\s{{0,2}}\w{{0,12}}\s{{1,2}}or\s{{1,2}}(?:\w{{1,12}}\s{{1,2}}){{0,3}}{_NUMERAL.pattern}"
    rf"|\bbetween\s{{1,2}}{_NUMERAL.pattern}\s{{1,2}}and\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"(?<![\d)\s])\*|\*(?![\s\d(])|[_`]|\\(?:boxed|text|mathrm)\b|[{}]|\$(?!\d)|\\[()\[\]]")


@dataclass(frozen=True, slots=True)
class _Mention:
    """A place where a text has a word or number.

    Attributes:
        start: Offset of its first character.
        end: Offset after its last character.
        before: The clause up to it.
        after: The clause after it.
        asked: Whether its sentence is a question of several words.
    """

    start: int
    end: int
    before: str
    after: str
    asked: bool

    @property
    def denied(self) -> bool:
        """Whether the clause denies it, reports it as the opinion of others, or asks for it."""
        before = _NO_DENIAL.sub(" ", self.before)
        return (
            self.asked
            or _DENIED_BEFORE.search(before) is not None
            or _OTHERS_SAY.search(before) is not None
            or (_WAS_BEFORE.search(before) is not None and _NOT_ANY_MORE.match(self.after) is not None)
            or (_DENIED_AFTER.match(self.after) is not None and _NO_DENIAL.search(self.after[:24]) is None)
        )


def has_word(text: str, word: str, *, case: bool = False) -> bool:
    """Check whether a text has a word, with word boundaries: "Parisian" is not "Paris".

    Args:
        text: The text.
        word: The word or words.
        case: Whether capitals matter.

    Returns:
        Whether it is there.
    """
    return next(_places(text, word, case), None) is not None


class Denials:
    """Which places of a text are denied, reported as the opinion of others, or asked for."""

    def __init__(self, text: str) -> None:
        self._clauses = _Clauses(text)

    def denied(self, start: int, end: int) -> bool:
        """Check a place.

        Args:
            start: Offset of its first character.
            end: Offset after its last character.

        Returns:
            Whether it is denied.
        """
        return self._clauses.mention(start, end).denied

    def compared(self, start: int, end: int) -> bool:
        """Check whether a place is named as the lesser one, or in a list of what is compared.

        Args:
            start: Offset of its first character.
            end: Offset after its last character.

        Returns:
            Whether it is.
        """
        return _compared(self._clauses.mention(start, end))


def claims_word(text: str, words: Sequence[str], *, case: bool = False) -> bool:
    """Check whether a text states one of some words, and does not deny it, leave it open or take it back.

    Args:
        text: The answer.
        words: The words, all of them right.
        case: Whether their capitals matter.

    Returns:
        Whether one is stated.
    """
    text = straight(text)
    clauses = _Clauses(text)
    mentions = [clauses.mention(*place) for word in words for place in _places(text, word, case)]
    stated = [mention for mention in mentions if not mention.denied]
    if not stated:
        return False
    stated.sort(key=lambda mention: mention.start)
    last = max(stated, key=lambda mention: mention.end)
    joined = any(_OR.fullmatch(text, one.end, two.start) for one, two in pairwise(stated))
    return (joined or not _left_open(text, last)) and _TAKEN_BACK.search(text, last.end) is None


def claims_taken_back(text: str) -> bool:
    """Check whether a text takes back what it said: "Yes. No, wait.".

    Args:
        text: The answer.

    Returns:
        Whether it does.
    """
    return _TAKEN_BACK.search(straight(text)) is not None


def picks(text: str, right: str, wrong: Sequence[str]) -> bool:
    """Check whether a text chooses the right one of some alternatives: the first that it states.

    "17 is smaller than 71" chooses 71 among the larger ones, as "71 is larger than 17" does.

    Args:
        text: The answer.
        right: The right alternative.
        wrong: The other ones.

    Returns:
        Whether the right one is chosen.
    """
    text = with_digits(straight(text))
    clauses = _Clauses(text)
    found = [(clauses.mention(*place), word) for word in (right, *wrong) for place in _places(text, word)]
    named = {word for _, word in found}
    stated = sorted(
        ((m.start, word, m) for m, word in found if not m.denied and not _compared(m)), key=lambda each: each[0]
    )
    if not stated:  # "Carrot is not a fruit" names the odd one out by denying something of it
        return named == {right}
    if _left_open(text, stated[0][2]) or _TAKEN_BACK.search(text, stated[0][2].end) is not None:
        return stated[-1][1] == right and _TAKEN_BACK.search(text) is not None
    return stated[0][1] == right


def offers_several(text: str) -> bool:
    """Check whether a text offers two numbers: "9 or 10", "between 9 and 10".

    Args:
        text: The text in which numbers are read.

    Returns:
        Whether it does.
    """
    return _OFFERED.search(text) is not None


def readable_numbers(text: str) -> str:
    """Write number words as digits, and remove markup and the numbers of list items.

    Args:
        text: An answer.

    Returns:
        The text in which numbers are read.
    """
    return _ENUMERATOR.sub("", with_digits(_MARKUP.sub("", straight(text))))


def _compared(mention: _Mention) -> bool:
    """Whether the text names it as the lesser one, or in a list of what it compares: "of 17 and 71, …"."""
    return (
        _LESSER_AFTER.match(mention.after) is not None
        or _LESSER_BEFORE.search(mention.before) is not None
        or _LISTED.search(mention.before) is not None
    )


def straight(text: str) -> str:
    """Cut a text to the length that is read, and make its apostrophes straight.

    Args:
        text: The text.

    Returns:
        The text.
    """
    return text[:_MAX_CHARACTERS].replace("’", "'").replace("‘", "'")


def _places(text: str, word: str, case: bool = False) -> Iterator[tuple[int, int]]:
    """Offsets of a word, of its first occurrences."""
    pattern = rf"(?<!\w){re.escape(word)}(?!\w)"
    matches = re.finditer(pattern, text, re.RegexFlag(0) if case else re.IGNORECASE)
    return (match.span() for match in islice(matches, _MAX_MENTIONS))


class _Clauses:
    """The clauses and sentences of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        boundaries = [match.span() for match in _BOUNDARY.finditer(text)]
        self._ends = [end for _, end in boundaries]
        self._starts = [start for start, _ in boundaries]
        sentences = [match.span() for match in _SENTENCE.finditer(text)]
        self._sentence_starts = [start for start, _ in sentences]
        self._sentences = sentences

    def mention(self, start: int, end: int) -> _Mention:
        """Describe the mention at ``text[start:end]``."""
        before = bisect_right(self._ends, start)
        clause = self._ends[before - 1] if before else 0
        after = bisect_left(self._starts, end)
        stop = self._starts[after] if after < len(self._starts) else len(self._text)
        first, last = self._sentences[bisect_right(self._sentence_starts, start) - 1]
        sentence = self._text[first:last]
        asked = sentence.rstrip().endswith("?") and (
            len(sentence.split()) > 2 or _ANSWERED_NO.match(self._text, last) is not None
        )
        return _Mention(start, end, self._text[clause:start], self._text[end:stop], asked)


def _left_open(text: str, mention: _Mention) -> bool:
    """Whether the text offers an alternative: "either Paris or Lyon", "maybe Paris or Lyon", "Paris or Lyon"."""
    near = text[max(0, mention.start - 60) : mention.end + 60]
    if re.search(r"\bor\b", near, re.IGNORECASE) is None:
        return False
    return _OPEN.search(near) is not None or len(text.split()) <= 6
