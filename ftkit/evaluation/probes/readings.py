"""Whether an answer in words is right, wrong, or not to be read with certainty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ftkit.evaluation.probes.claims import Denials, claims_word, picks, straight
from ftkit.evaluation.probes.clauses import COPULAS, DETERMINERS, PREPOSITIONS, Clause, Word, clauses_of
from ftkit.evaluation.probes.statements import (
    Level,
    Question,
    Statement,
    is_bare,
    is_demonym,
    preposition_before,
    statement,
)

__all__ = ["Outcome", "read_denial", "read_pick", "read_words"]

Outcome = Literal["right", "wrong", "unclear"]
"""``unclear``: the answer has the right word, and a program cannot tell whether it answers the question by it."""

Kind = Literal["name", "year", "word", "listed"]
"""What rivals of the right answer look like: names, years, other words, or the alternatives of the question."""

_CONCLUDING = frozenset({"so", "therefore", "thus", "hence"})
_PARTICLES = frozenset({"da", "de", "di", "van", "von", "del", "la"})
_PRONOUNS = frozenset({"it", "it's", "he", "she"})
_AGENT = frozenset({"by", "in", "on", "at"})
_PLACING = frozenset({"in", "on", "at", "during", "near", "around", "across", "since"})
_PAST = frozenset({"was", "were", "had", "did", "used"})
_MAX_CANDIDATES = 50
"""Words that are read; answers to short questions state fewer."""
_LONGEST = 2
"""Words of a rival that is no name."""


@dataclass(frozen=True)
class _Candidate:
    """A word that an answer may state.

    Attributes:
        clause: Index of its clause.
        first: Index of its first word there.
        last: Index after its last word.
        right: Whether it is the right one.
    """

    clause: int
    first: int
    last: int
    right: bool


def read_words(
    text: str, right: Sequence[str], question: Question, *, wrong: Sequence[str] = (), case: bool = False
) -> Outcome:
    """Read an answer that should state one of some words.

    Args:
        text: The answer.
        right: The words; with a capital if they are names, whose rivals are names.
        question: The question.
        wrong: Words of the question that an answer might give instead.
        case: Whether capitals of the right words matter.

    Returns:
        What it is.
    """
    text = straight(text)
    if not claims_word(text, right, case=case):
        return "wrong"
    kind: Kind = "year" if right[0].isdigit() else "name" if right[0][0].isupper() and text != text.lower() else "word"
    return _Reader(text, right, question, "listed" if wrong else kind, case=case, rivals=wrong).outcome()


def read_pick(text: str, right: str, wrong: Sequence[str], question: Question) -> Outcome:
    """Read an answer that should choose one of the alternatives of a question.

    Args:
        text: The answer.
        right: The right alternative.
        wrong: The other ones.
        question: The question.

    Returns:
        What it is.
    """
    reader = _Reader(straight(text), [right], question, "listed", rivals=wrong)
    if picks(text, right, wrong):
        return "unclear" if reader.states_rival() else "right"
    if reader.concludes():
        return "unclear" if reader.states_rival() else "right"
    return "wrong"


def read_denial(text: str, words: Sequence[str], question: Question) -> bool | None:
    """Read whether an answer states that something is one of some words, or denies it.

    Args:
        text: The answer.
        words: The words, forms of one word.
        question: The question.

    Returns:
        True if it states it, False if it denies it or names something else in its place; None if it does neither or
        both.
    """
    text = straight(text)
    reader = _Reader(text, words, question, "word")
    stated, denied = reader.predicates()
    if stated == denied:
        return None
    return stated


class _Reader:
    """The candidates of an answer, and how plainly it states them."""

    def __init__(
        self,
        text: str,
        right: Sequence[str],
        question: Question,
        kind: Kind,
        *,
        case: bool = False,
        rivals: Sequence[str] = (),
    ) -> None:
        self._clauses = clauses_of(text)
        self._denials = Denials(text)
        self._question = question
        self._kind = kind
        self._case = case
        self._right = [spelled for word in right if (spelled := _spelled(word))]
        self._listed = [spelled for word in rivals if (spelled := _spelled(word))]
        self._candidates: list[_Candidate] = []
        for index, clause in enumerate(self._clauses):
            own = list(self._right_ones(index, clause))
            self._candidates += own
            self._candidates += self._rivals(index, clause, own)
        del self._candidates[_MAX_CANDIDATES:]

    def outcome(self) -> Outcome:
        """Decide by the plainest statement of the right word and by those of rivals."""
        levels = [(self._statement(one), one) for one in self._affirmed(right=True)]
        if not levels:
            return "unclear"
        best, where = max(levels, key=lambda each: (each[0].level, each[0].shared, -each[1].clause))
        if best.level is Level.ASIDE and not self._goes_on(where):
            return "unclear"
        rivals = [(self._statement(one), one) for one in self._affirmed(right=False)]
        if best.level is not Level.PLAIN:
            return "unclear" if any(self._is_any_rival(found, one, where) for found, one in rivals) else "right"
        return "unclear" if any(self._is_plain_rival(found, one, best, where) for found, one in rivals) else "right"

    def _goes_on(self, one: _Candidate) -> bool:
        """Whether the next clause is about the question, and of this word: "Paris is large, and it is the capital"."""
        following = self._clauses[one.clause + 1 : one.clause + 2]
        subject = not any(word.content for word in self._clauses[one.clause].words[: one.first])
        return subject and any(
            (clause.words[0].lower in _PRONOUNS or clause.opener in ("which", "who"))
            and any(self._question.has(word.lower) for word in clause.words)
            for clause in following
        )

    def states_rival(self) -> bool:
        """Whether a wrong alternative is stated as plainly as can be."""
        return any(
            self._statement(one).level is Level.PLAIN and not self._clauses[one.clause].explains
            for one in self._affirmed(right=False)
        )

    def concludes(self) -> bool:
        """Whether the right alternative is stated plainly, after others."""
        found = [one for one in self._affirmed(right=True) if self._statement(one).level is Level.PLAIN]
        return bool(found) and self._clauses[found[-1].clause].opener in _CONCLUDING

    def predicates(self) -> tuple[bool, bool]:
        """Whether the right words are stated of what the question asks about, and whether they are denied of it."""
        stated = denied = False
        for one in self._candidates:
            clause = self._clauses[one.clause]
            verbs = [word for word in clause.words[: one.first] if word.lower in COPULAS or "n't" in word.lower]
            found = self._statement(one)
            if one.right:
                about = verbs and (found.level is Level.PLAIN or found.shared > 0)
                is_denied = self._is_denied(one)
                stated |= bool(about) and not is_denied
                denied |= is_denied and found.level is not Level.ASIDE
            elif not self._is_denied(one) and verbs and found.level is Level.PLAIN and one.last == len(clause.words):
                denied |= not any(each.right and each.clause == one.clause for each in self._candidates)
        return stated, denied

    def _is_plain_rival(self, found: Statement, one: _Candidate, best: Statement, where: _Candidate) -> bool:
        """Whether a rival is stated as plainly as the right word."""
        clause = self._clauses[one.clause]
        if found.level is not Level.PLAIN or clause.explains or (self._kind == "name" and self._is_placed(one)):
            return False
        before = (one.clause, one.first) < (where.clause, where.first)
        if is_bare(clause, range(one.first, one.last)) and not before:
            return self._is_listed(one, where)
        if one.clause == where.clause and not before:
            between = clause.words[where.last : one.first]
            return 0 < len(between) <= 2 and between[0].lower in ("and", "or")
        return self._kind != "word" or before or found.shared >= max(1, best.shared)

    def _is_listed(self, one: _Candidate, where: _Candidate) -> bool:
        """Whether a clause that is nothing but a rival names a second answer: "Paris and Lyon"."""
        clause = self._clauses[one.clause]
        last = where.last == len(self._clauses[where.clause].words) and one.clause == where.clause + 1
        listed = (last and clause.opener in ("and", "or", "/")) or (clause.opener == "," and self._is_list())
        return (listed or clause.opener in _CONCLUDING) and one.last - one.first <= (3 if self._kind != "word" else 1)

    def _is_any_rival(self, found: Statement, one: _Candidate, where: _Candidate) -> bool:
        if self._kind == "word":
            return found.level is Level.PLAIN
        if self._kind == "name":
            clause = self._clauses[one.clause]
            if (one.clause, one.first) > (where.clause, where.last) and is_bare(clause, range(one.first, one.last)):
                return self._is_listed(one, where)
            there = any(each.right and each.clause == one.clause for each in self._candidates)
            return preposition_before(clause, one.first) not in _PLACING if there else not self._is_placed(one)
        if self._kind == "year":
            return found.level is not Level.ASIDE and preposition_before(self._clauses[one.clause], one.first) != "from"
        return True

    def _is_placed(self, one: _Candidate) -> bool:
        """Whether a name only says where or of what something is: "on the Seine"."""
        clause = self._clauses[one.clause]
        preposition = preposition_before(clause, one.first)
        if preposition not in ("", *_AGENT):
            return True
        there = any(each.right and each.clause == one.clause for each in self._candidates)
        return preposition != "" and (there or is_bare(clause, range(one.first, one.last)))

    def _is_list(self) -> bool:
        """Whether the answer is a list of candidates."""
        spans: dict[int, set[int]] = {}
        for one in self._candidates:
            spans.setdefault(one.clause, set()).update(range(one.first, one.last))
        return all(is_bare(clause, spans.get(index, ())) for index, clause in enumerate(self._clauses))

    def _affirmed(self, *, right: bool) -> list[_Candidate]:
        return [one for one in self._candidates if one.right is right and not self._is_denied(one)]

    def _is_denied(self, one: _Candidate) -> bool:
        words = self._clauses[one.clause].words
        place = words[one.first].start, words[one.last - 1].end
        return self._denials.denied(*place) or (self._kind == "listed" and self._denials.compared(*place))

    def _statement(self, one: _Candidate) -> Statement:
        clause = self._clauses[one.clause]
        others = {
            index
            for each in self._candidates
            if each.clause == one.clause and each is not one
            for index in range(each.first, each.last)
        }
        found = statement(clause, one.first, one.last, self._question, others=others)
        if clause.opener == "then" and is_bare(clause, range(one.first, one.last)):
            return Statement(Level.ASIDE, 0, 0)  # "Mars and then Mercury" gives it the second place
        words = clause.words
        if (
            self._kind == "year"
            and one.first >= 2
            and words[one.first - 1].lower == "to"
            and words[one.first - 2].kind == "number"
        ):
            return found
        tail = words[one.last : one.last + 1]
        if self._kind == "name" and one.right and tail and tail[0].capital and not self._known(tail[0]):
            return Statement(Level.ASIDE, 0, 1)  # "Leonardo DiCaprio" is another name
        return found

    def _known(self, word: Word) -> bool:
        return not word.content or self._question.has(word.lower)

    def _is_derived(self, word: Word) -> bool:
        """Whether a name is made from the right one: "Darwinism"."""
        return any(
            len(own) == 1 and len(own[0]) > 3 and word.lower.startswith(own[0].casefold()) for own in self._right
        )

    def _right_ones(self, index: int, clause: Clause) -> Iterator[_Candidate]:
        for first, last in _places(clause, self._right, case=self._case):
            start, end = first, last
            if self._kind == "name":
                while start > 0 and (clause.words[start - 1].capital or clause.words[start - 1].lower in _PARTICLES):
                    if self._known(clause.words[start - 1]) and clause.words[start - 1].lower not in _PARTICLES:
                        break
                    start -= 1
                if is_demonym(clause.words[start]) and start < first:
                    start += 1
            yield _Candidate(index, start, end, right=True)

    def _rivals(self, index: int, clause: Clause, right: Sequence[_Candidate]) -> Iterator[_Candidate]:
        taken = {place for one in right for place in range(one.first, one.last)}
        spans: Iterator[tuple[int, int]]
        if self._kind == "listed":
            spans = _places(clause, self._listed)
        elif self._kind == "name":
            spans = self._names(clause, taken)
        elif self._kind == "year":
            spans = (
                (place, place + 1)
                for place, word in enumerate(clause.words)
                if word.kind == "number" and place not in taken and 1000 <= word.value < 2200
            )
        else:
            spans = (span for span in self._slots(clause) if taken.isdisjoint(range(*span)))
        for first, last in spans:
            yield _Candidate(index, first, last, right=False)

    def _names(self, clause: Clause, taken: set[int]) -> Iterator[tuple[int, int]]:
        """Names that are neither of the question nor right, where an answer may stand."""
        words, place = clause.words, 0
        was = not taken and not self._question.past and any(word.lower in _PAST for word in words)
        while place < len(words):
            if place in taken or not words[place].capital or not words[place].content:
                place += 1
                continue
            end = place + 1
            while end < len(words) and end not in taken and (words[end].capital or words[end].lower in _PARTICLES):
                end += 1
            run = words[place:end]
            describes = (
                is_demonym(run[-1])
                and end < len(words)
                and words[end].content
                and not self._question.has(words[end].lower)
            )
            if not all(self._known(word) or self._is_derived(word) for word in run) and not describes and not was:
                yield place, end
            place = end

    def _slots(self, clause: Clause) -> Iterator[tuple[int, int]]:
        """Words that are neither of the question nor right, as subject, as complement, or alone."""
        words = [word for word in clause.words if word.kind != "sign"]
        if len(words) != len(clause.words) or not words:
            return
        start = 1 if words[0].lower in DETERMINERS else 0
        end = start
        while end < len(words) and end - start <= _LONGEST and words[end].content and not self._known(words[end]):
            end += 1
        length = end - start
        if 1 <= length <= _LONGEST and (
            end == len(words) or words[end].lower in COPULAS or self._question.has(words[end].lower)
        ):
            yield start, end
            return
        for first in range(start + 1, len(words)):
            before = words[first - 1]
            if before.lower in DETERMINERS and first >= 2:
                before = words[first - 2]
            if (
                before.lower not in COPULAS
                and not self._question.has(before.lower)
                and before.lower not in ("in", "as")
            ):
                continue
            end = first
            while end < len(words) and words[end].content and not self._known(words[end]):
                end += 1
            if 1 <= end - first <= _LONGEST and (end == len(words) or words[end].lower in PREPOSITIONS):
                yield first, end
                return


def _spelled(word: str) -> tuple[str, ...]:
    return tuple(each.text for clause in clauses_of(word) for each in clause.words)


def _places(clause: Clause, spelled: Sequence[tuple[str, ...]], *, case: bool = False) -> Iterator[tuple[int, int]]:
    """Where a clause has one of some words; the longest first."""
    texts = [word.text if case else word.lower for word in clause.words]
    taken: set[int] = set()
    for wanted in sorted(spelled, key=len, reverse=True):
        folded = [each if case else each.casefold() for each in wanted]
        for first in range(len(texts) - len(folded) + 1):
            span = range(first, first + len(folded))
            if texts[first : first + len(folded)] == folded and taken.isdisjoint(span):
                taken.update(span)
                yield span.start, span.stop
