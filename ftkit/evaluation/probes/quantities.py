"""Whether an answer in numbers is right, wrong, or not to be read with certainty.

A number answers a question if a clause states it plainly, with the noun that is asked for or none, and no clause does
so for another number. "Nine friends get 3 cookies each" is no answer "9" to how many cookies three friends get.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import islice, pairwise

from ftkit.evaluation.probes.claims import Denials, offers_several, readable_numbers
from ftkit.evaluation.probes.clauses import PREPOSITIONS, Clause, Word, clauses_of, same_word
from ftkit.evaluation.probes.readings import Outcome
from ftkit.evaluation.probes.scopes import asks_of, is_out_of_scope, singles_of
from ftkit.evaluation.probes.statements import Level, Question, preposition_before, statement
from ftkit.evaluation.probes.word_lists import word_list

__all__ = ["read_number"]

_OPERATORS = word_list("operators")
_RESULTS = frozenset(["=", "equals", "makes", "gives", "is", "are", "≈", "was", "be"])
_SYMBOLS = frozenset({"c", "f", "k", "h"})
_LATER = frozenset({"now", "still", "after", "left", "remaining", "new"})
"""Words of what became of what the question tells."""
_MAX_NUMBERS = 50
"""Numbers that are read; answers to short questions have fewer."""
_ORDINALS = frozenset({"st", "nd", "rd", "th"})
_UNITS = word_list("units")
_QUANTITY = re.compile(r"(?:\b(in|for|after|with|at|by|to)\s)?(?<![\d.])(\d+|\bone\b)\s([a-z]+)", re.IGNORECASE)
_ASKED = re.compile(
    r"how many (?!are\b|is\b|does\b|do\b)([a-z]+)|\bin (dollars|degrees|km)\b|\bhow (old)\b", re.IGNORECASE
)


class _Noun(Enum):
    """What the noun after a number is: none, what is asked for, what the question gives with this number or another."""

    NONE = 0
    ASKED = 1
    GIVEN = 2
    CONTRADICTS = 3
    FOREIGN = 4


@dataclass(frozen=True)
class _Asked:
    """Quantities of a question.

    Attributes:
        noun: The noun whose number is asked for; empty if there is none.
        given: Nouns with their numbers.
        placed: Prepositions and nouns with the number that stands there: "in 7 years".
    """

    noun: str
    given: dict[str, set[float]]
    placed: dict[tuple[str, str], set[float]]


@dataclass(frozen=True)
class _Number:
    """A number in an answer.

    Attributes:
        clause: Index of its clause.
        place: Index of it there.
        end: Index after its noun.
        value: The number.
        noun: What its noun says.
        operand: Whether it is part of a sum, a product or the like.
        result: Whether an equals sign or "is" stands before it.
    """

    clause: int
    place: int
    end: int
    value: float
    noun: _Noun
    operand: bool
    result: bool


@lru_cache(maxsize=512)
def _asked_of(question: Question) -> _Asked:
    given: dict[str, set[float]] = {}
    placed: dict[tuple[str, str], set[float]] = {}
    for preposition, digits, noun in _QUANTITY.findall(question.text):
        value = 1.0 if digits.casefold() == "one" else float(digits)
        if noun.casefold() not in _OPERATORS - {"percent"}:
            given.setdefault(noun.casefold(), set()).add(value)
            if preposition:
                placed.setdefault((preposition.casefold(), noun.casefold()), set()).add(value)
    for noun in singles_of(question):
        given.setdefault(noun, set()).add(1.0)
    found = _ASKED.search(question.text)
    noun = next((part for part in found.groups() if part), "") if found else ""
    noun = {"old": "years"}.get(noun.casefold(), noun.casefold())
    if not noun and found is None and re.search(r"\bhow many\b", question.text, re.IGNORECASE):
        noun = next(iter(given), "")
    return _Asked(noun, given, placed)


def read_number(
    text: str, wanted: float, question: Question, *, given: Sequence[float] = (), aside: Sequence[float] = ()
) -> Outcome:
    """Read an answer that should state a number.

    Args:
        text: The answer.
        wanted: The right number.
        question: The question.
        given: Numbers of the question, which an answer may repeat.
        aside: Numbers that an answer may add, such as the same temperature on another scale.

    Returns:
        What it is.
    """
    text = readable_numbers(text)
    reader = _Reader(text, question, given, aside)
    if not any(number.value == wanted for number in reader.affirmed):
        return "wrong"
    if offers_several(text):
        return "wrong"
    return reader.outcome(wanted)


class _Reader:
    """The numbers of an answer, and how plainly it states them."""

    def __init__(self, text: str, question: Question, given: Sequence[float], aside: Sequence[float]) -> None:
        self._question = question
        self._asked = _asked_of(question)
        self._given = given
        self._clauses = clauses_of(text)
        denials = Denials(text)
        self._numbers = [each for each in islice(self._read(), _MAX_NUMBERS) if each.value not in aside]
        self.affirmed = [
            each for each in self._numbers if not denials.denied(self._word(each).start, self._word(each).end)
        ]

    def outcome(self, wanted: float) -> Outcome:
        level = self.level(wanted)
        if level is Level.ASIDE:
            return "unclear"
        operands = {each.value for each in self._numbers if each.operand}
        for each in self.affirmed:
            if each.value == wanted or self._clauses[each.clause].explains:
                continue
            rival = self._level(each)
            if rival is Level.PLAIN and not (each.result and each.value in operands):
                return "unclear"
            if rival is Level.LOOSE and level is Level.LOOSE and each.value not in self._given:
                return "unclear"
        return "right"

    def level(self, wanted: float) -> Level:
        """How plainly the number is stated as the answer."""
        return max((self._level(each) for each in self.affirmed if each.value == wanted), default=Level.ASIDE)

    def _word(self, number: _Number) -> Word:
        return self._clauses[number.clause].words[number.place]

    def _level(self, number: _Number) -> Level:
        """How plainly a clause states a number as the answer."""
        if number.noun not in (_Noun.NONE, _Noun.ASKED) or number.operand:
            return Level.ASIDE
        clause = self._clauses[number.clause]
        phrase = self._leading_phrase(number)
        shift = len(phrase)
        if is_out_of_scope((*phrase, *clause.words), number.place + shift, number.end + shift, self._question):
            return Level.ASIDE
        own = [each for each in self._numbers if each.clause == number.clause and each.place != number.place]
        if any(each.noun is _Noun.CONTRADICTS for each in own):
            return Level.ASIDE
        is_given = number.value in self._given
        if is_given and number.noun is _Noun.NONE and self._repeats(number):
            return Level.ASIDE
        if any(each.result and each.place > number.place and self._is_result(each, number) for each in own):
            return Level.ASIDE
        others = {
            place for each in self._numbers if each.clause == number.clause for place in range(each.place, each.end)
        }
        unexplained = {each.place for each in own if not self._explained(each)}
        found = statement(
            clause,
            number.place,
            number.end,
            self._question,
            others=others - unexplained,
            is_foreign_number=unexplained.__contains__,
        )
        level = Level.PLAIN if number.result and not found.foreign else found.level
        if level is Level.ASIDE and number.result and number.noun is _Noun.ASKED and found.foreign == 1:
            level = Level.LOOSE  # "the distance is 180 km"
        if level is Level.PLAIN and not self._about(clause, number, others):
            return Level.ASIDE
        return level

    def _about(self, clause: Clause, number: _Number, others: set[int]) -> bool:
        """Whether a clause is about what is asked, and not what the question tells."""
        rest = [word for place, word in enumerate(clause.words) if place not in others and word.kind == "word"]
        shared = [word for word in rest if self._question.has(word.lower)]
        phrase = self._leading_phrase(number)
        placed = any(
            first.kind == "number" and asks_of(first.value, second.lower, self._question)
            for first, second in pairwise(phrase)
        )
        later = number.value not in self._given and (placed or any(word.lower in _LATER for word in rest))
        return number.result or later or not shared or any(self._question.asks(word.lower) for word in shared)

    def _leading_phrase(self, number: _Number) -> tuple[Word, ...]:
        """The words of a phrase that a comma divides from the clause of a number: "In 3 hours, …"."""
        clause = self._clauses[number.clause]
        if clause.opener != "," or not number.clause:
            return ()
        before = self._clauses[number.clause - 1]
        if before.sentence != clause.sentence or before.words[0].lower not in PREPOSITIONS:
            return ()
        return before.words

    def _is_result(self, later: _Number, number: _Number) -> bool:
        """Whether a later number of the clause is said to be what this one is: "half of 45 is 90"."""
        if later.noun is _Noun.GIVEN or later.operand or later.noun is _Noun.FOREIGN:
            return False
        return number.place != 0 or later.noun is not _Noun.NONE

    def _explained(self, number: _Number) -> bool:
        return number.operand or number.noun in (_Noun.GIVEN, _Noun.FOREIGN) or number.value in self._given

    def _repeats(self, number: _Number) -> bool:
        """Whether a number stands after the same word as in the question: "half of 90"."""
        words = self._clauses[number.clause].words
        before = words[number.place - 1].lower if number.place else ""
        digits = re.escape(f"{number.value:g}")
        return any(
            same_word(before, each.casefold())
            for each in re.findall(rf"([^\W\d_]+|[+*/×÷-])\s{digits}(?![\d.])", self._question.text)
        )

    def _read(self) -> Iterator[_Number]:
        for index, clause in enumerate(self._clauses):
            words = clause.words
            for place, word in enumerate(words):
                if word.kind != "number":
                    continue
                end, names = self._noun_after(words, place)
                if names and names[0] in _ORDINALS:
                    continue
                noun = self._classify(word.value, names, clause, place)
                before = words[place - 1].lower if place else ""
                if before == "$" and place > 1:
                    before = words[place - 2].lower
                after = words[end].lower if end < len(words) else ""
                if before in ("-", "−") and not any(each.kind == "number" for each in words[:place]):
                    before = ""  # a dash
                operand = (before in _OPERATORS and before not in ("%", "percent")) or (
                    after in _OPERATORS and (after not in ("%", "percent"))
                )
                yield _Number(index, place, end, word.value, noun, operand, before in _RESULTS)

    def _noun_after(self, words: Sequence[Word], place: int) -> tuple[int, list[str]]:
        """The words after a number that belong to it, and the index after them."""
        names: list[str] = ["dollars"] if place and words[place - 1].text == "$" else []
        end = place + 1
        while end < len(words) and len(names) < 2:
            word = words[end]
            if word.text in ("%", "°", "€", "£"):
                names.append(word.text)
            elif (
                word.kind == "word"
                and (word.content or word.lower in ("c", "f", "k", "h"))
                and word.lower not in _OPERATORS
            ):
                verb = self._question.has(word.lower) and not self._is_noun(word.lower)
                if verb and not (end + 1 == len(words) and word.lower.endswith("s") and place):
                    break
                names.append(word.lower)
            elif word.lower == "percent":
                names.append("percent")
            else:
                break
            end += 1
        return end, names

    def _is_noun(self, word: str) -> bool:
        return any(
            same_word(word, each)
            for each in (self._asked.noun, *self._asked.given, *self._question.nouns, *_UNITS)
            if each
        )

    def _classify(self, value: float, names: Sequence[str], clause: Clause, place: int) -> _Noun:
        if not names:
            return _Noun.NONE
        asked, given = self._asked.noun, self._asked.given
        preposition = preposition_before(clause, place)
        if asked and same_word(names[0], asked):
            if len(names) > 1 and names[1] in ("fahrenheit", "f", "kelvin", "k"):
                return _Noun.FOREIGN
            there = [
                values
                for (where, noun), values in self._asked.placed.items()
                if where == preposition and same_word(noun, names[0])
            ]
            if there:
                return _Noun.GIVEN if any(value in values for values in there) else _Noun.CONTRADICTS
            known = {each for noun, values in given.items() if same_word(noun, asked) for each in values}
            only_asks = any(self._question.only_asks(word.lower) for word in clause.words)
            return _Noun.GIVEN if value in known and not (only_asks and not preposition) else _Noun.ASKED
        of_noun = [values for noun, values in given.items() if same_word(names[0], noun)]
        if of_noun:
            return _Noun.GIVEN if any(value in values for values in of_noun) else _Noun.CONTRADICTS
        if asked and len(names) > 1 and same_word(names[1], asked):
            return _Noun.ASKED
        return _Noun.FOREIGN
