"""Clauses of short English texts, and the kinds of words in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile

from ftkit.evaluation.probes.word_lists import word_list

__all__ = ["COPULAS", "DETERMINERS", "PREPOSITIONS", "Clause", "Word", "clauses_of", "is_function", "same_word"]

_MAX_WORDS = 250
"""Words of an answer that are read; answers to short questions are shorter."""

_TOKEN = re.compile(
    r"(?P<number>(?<![\w.])[±−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\.?\d))|(?P<word>[^\W_]+(?:[’'.-][^\W\d_]+)*)|"
    r"(?P<end>(?<![.!?…])[.!?…]+(?=[\s)\]\"']|$)|\n)|(?P<part>[;:,()\[\]—–](?!\d)|(?<=[^\W\d])/(?=[^\W\d])|\s-+\s(?![\d$(]))|(?P<sign>[-%$€£°=<>≈+×*÷−/√^·])"
)

DETERMINERS = word_list("determiners")
COPULAS = word_list("copulas")
PREPOSITIONS = word_list("prepositions")
_CONJUNCTIONS = word_list("conjunctions")
_EXPLAINING = frozenset({"because", "since", "as"})
_CONCLUDING = frozenset({"so", "therefore", "thus", "hence", "then", "but", "however"})
_AFTER_COMMA = frozenset({"as", "like", "plus", "then"})
"""Words that begin a clause only after a comma or at the beginning of a sentence."""
_MONTHS = word_list("months")
_OTHERS = word_list("pronouns", "auxiliaries", "adverbs", "naming", "greeting", "contractions", "amounts")
_FUNCTION = DETERMINERS | COPULAS | PREPOSITIONS | _CONJUNCTIONS | _OTHERS | _MONTHS
_LEMMAS = {
    **dict.fromkeys(("wrote", "written", "writes", "writer", "author", "authored"), "write"),
    **dict.fromkeys(("spoke", "spoken", "speaks"), "speak"),
    **dict.fromkeys(("gave", "given", "gives", "giving"), "give"),
    **dict.fromkeys(("gone", "goes", "went"), "go"),
    **dict.fromkeys(("makes", "made", "making"), "make"),
    **dict.fromkeys(("took", "taken", "takes"), "take"),
    **dict.fromkeys(("nearest", "closest", "close"), "near"),
    **dict.fromkeys(("highest", "tallest", "high"), "tall"),
    **dict.fromkeys(("biggest", "largest", "greater", "bigger", "larger"), "large"),
    **dict.fromkeys(("children", "kids"), "child"),
    **dict.fromkeys(("kilometre", "kilometres", "kilometer", "kilometers", "kms"), "km"),
    **dict.fromkeys(("$", "dollar", "dollars", "usd"), "dollars"),
    **dict.fromkeys(("%", "percent"), "percent"),
    **dict.fromkeys(("°", "degree", "degrees", "celsius", "centigrade", "°c", "c"), "degrees"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "hour"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "minute"),
    **dict.fromkeys(("boxes", "box"), "box"),
    "french": "france",
    "cos": "because",
}
_ENDINGS = word_list("endings") | {""}
"""Endings in which two forms of a word may differ."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word, number or sign.

    Attributes:
        text: As it is written.
        start: Offset of its first character.
        end: Offset after its last character.
        kind: ``word``, ``number`` or ``sign``.
    """

    text: str
    start: int
    end: int
    kind: str

    @property
    def lower(self) -> str:
        """The word without capitals and without the ``'s`` of a possessive."""
        lower = self.text.casefold().replace("’", "'")
        return lower.removesuffix("'s") if lower not in COPULAS else lower

    @property
    def capital(self) -> bool:
        """Whether it is a word with a capital that may be a name."""
        return self.kind == "word" and self.text[0].isupper() and self.text != "I"

    @property
    def content(self) -> bool:
        """Whether it is a word that says something by itself."""
        return self.kind == "word" and not is_function(self.lower)

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text.replace(",", "").replace("−", "-").replace("±", ""))


@dataclass(frozen=True, slots=True)
class Clause:
    """Words between two separators.

    Attributes:
        words: Its words.
        opener: The separator or conjunction before it, in lower case; empty at the beginning of a sentence.
        sentence: Number of its sentence.
        explains: Whether it gives the reason for what was said before: after "because".
    """

    words: tuple[Word, ...]
    opener: str
    sentence: int
    explains: bool


def is_function(word: str) -> bool:
    """Check whether a word has little meaning of its own: an article, a pronoun, an adverb.

    Args:
        word: The word in lower case.

    Returns:
        Whether it has.
    """
    return word in _FUNCTION or (word.endswith("ly") and len(word) > 4) or (len(word) == 1 and word.isalpha())


@lru_cache(maxsize=65_536)
def same_word(first: str, second: str) -> bool:
    """Check whether two words are forms of one word: "travels" and "travel", "Japan" and "Japanese".

    Args:
        first: A word in lower case.
        second: Another one.

    Returns:
        Whether they are.
    """
    first, second = _LEMMAS.get(first, first), _LEMMAS.get(second, second)
    if first == second:
        return True
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
    short = min(len(first), len(second))
    return common >= min(4, short) >= 3 and common >= short - 1 and {first[common:], second[common:]} <= _ENDINGS


def clauses_of(text: str) -> list[Clause]:
    """Split a text into clauses, at punctuation and at conjunctions.

    "Lyon and Nice are cities." stays one clause, because both are the subject.

    Args:
        text: The text.

    Returns:
        Its clauses, none of them empty.
    """
    return list(_merged(list(_split(text))))


def _split(text: str) -> Iterator[Clause]:
    tokens = []
    for match in _TOKEN.finditer(text):
        tokens.append(match)
        if len(tokens) >= _MAX_WORDS:
            break
    words: list[Word] = []
    opener, sentence, explains, after_comma = "", 0, False, True
    for match in tokens:
        kind, lower = match.lastgroup or "", match[0].casefold()
        conjunction = (
            kind == "word"
            and lower in _CONJUNCTIONS
            and (after_comma or lower not in _AFTER_COMMA)
            and not (lower == "since" and re.match(r"\s\d{4}\b", text[match.end() : match.end() + 6]))
        )
        if kind not in ("end", "part") and not conjunction:
            words.append(Word(match[0], match.start(), match.end(), kind))
            after_comma = False
            continue
        if words:
            yield Clause(tuple(words), opener, sentence, explains)
            words = []
            opener = ""
        if kind == "end":
            sentence, opener, explains = sentence + 1, "", False
        elif conjunction:
            opener = lower
            explains = lower in _EXPLAINING or (explains and lower not in _CONCLUDING)
        elif opener in ("", ","):
            opener = lower.strip()
        after_comma = True
    if words:
        yield Clause(tuple(words), opener, sentence, explains)


def _merged(clauses: list[Clause]) -> Iterator[Clause]:
    """Join the parts of a list that is the subject of a clause: "Lyon, Paris" and "Nice are cities"."""
    index = 0
    while index < len(clauses):
        end = index
        while (
            end + 1 < len(clauses)
            and _is_item(clauses[end])
            and clauses[end + 1].sentence == clauses[index].sentence
            and clauses[end + 1].opener in (",", "and", "or")
        ):
            end += 1
        last = clauses[end]
        if end > index and last.opener in ("and", "or") and _has_item_and_verb(last):
            words = tuple(word for clause in clauses[index : end + 1] for word in clause.words)
            yield replace(clauses[index], words=words)
            index = end + 1
        else:
            yield clauses[index]
            index += 1


def _is_item(clause: Clause) -> bool:
    return len(clause.words) <= 3 and not any(word.lower in COPULAS for word in clause.words)


def _has_item_and_verb(clause: Clause) -> bool:
    lowers = [word.lower for word in clause.words]
    verb = next((place for place, word in enumerate(lowers) if word in COPULAS or word in ("have", "do", "can")), 0)
    return 1 <= verb <= 3 and len(lowers) > verb + 1
