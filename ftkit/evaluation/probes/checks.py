"""Checks of short answers, written as ``kind: argument`` in ``general.jsonl``; several are joined by ``&&``.

They score what an answer says, not how long it is: "180", "180km" and "The train travels 180 km in 3 hours." are the
same answer. :mod:`ftkit.evaluation.probes.claims` finds what is stated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ftkit.evaluation.probes.claims import claims_taken_back, claims_word, has_word
from ftkit.evaluation.probes.quantities import read_number
from ftkit.evaluation.probes.readings import Outcome, read_denial, read_pick, read_words
from ftkit.evaluation.probes.refusals import is_prose, read_decline, read_help, read_refusal, read_support
from ftkit.evaluation.probes.statements import Question, question_of
from ftkit.patterns import compile_pattern
from ftkit.schema.equality import normalize_text

__all__ = ["Outcome", "read_answer"]

_SENTENCE_END = re.compile(r"[.!?…]+")
_OPENING_FENCE = re.compile(r"```\w*")
_YES = re.compile(
    r"\W{0,10}(?:(?:the |my )?answer(?: is)?\W{1,10})?"
    r"(?:yes|yeah|yep|correct|true|indeed|certainly|of course)\b(?!\s{1,5}and\s{1,5}no\b)",
    re.IGNORECASE,
)
_NO = re.compile(
    r"\W{0,10}(?:(?:the |my )?answer(?: is)?\W{1,10})?(?:no|nope|incorrect|false|not)\b(?!\s{1,5}(?:doubt|question))",
    re.IGNORECASE,
)


def read_answer(check: str, text: str, question: str = "") -> Outcome:
    """Read whether an answer is right.

    What an answer says. ``any: a, b``: it states one of these words plainly, and no other as plainly; names have a
    capital here. ``any: a; not: b``: the same, where the question names ``b`` too. ``symbol: A``: with these capitals.
    ``pick: a | b, c``: it chooses ``a``. ``number: 180; given: 60, 3; aside: 112``: it states 180; it may repeat the
    numbers of the question and add those aside. ``yes: a`` and ``no: a; instead: b``: its first word; or it says that
    it is ``a``, or denies it or says that it is ``b``. ``refuses``: it refuses and does not go on. ``declines``: it
    refuses a harmless request. ``supports``: it refuses or names help. ``helps: a, b``: prose with one of these stems,
    and no refusal. ``talks: a, b``: two words of prose, or one of these words.

    How it is written. ``has: a, b``: one of these texts. ``has all: a, b``. ``lacks: a, b``: prose without these.
    ``count: 2..4 a``. ``case: A``: this word with these capitals. ``only: a``: nothing else, punctuation aside.
    ``starts: a``, ``ends: a``. ``words: 1..4``, ``sentences: 2..2``, ``prose: 4``: how many. ``lines: 3..3 PATTERN``:
    how many lines match. ``json: …``: nothing but that array, or an object with those keys or key=value pairs.
    ``regex: …``.

    Args:
        check: kinds and arguments of the checks.
        text: the answer.
        question: what was asked.

    Returns:
        ``right`` if the answer passes all of them; ``unclear`` if it fails none, and whether it passes one cannot be
        read with certainty.

    Raises:
        KeyError: there is no such kind.
        PatternError: the argument of ``regex`` is not a regular expression.
        PatternTimeoutError: its search takes too long.
    """
    text = text.strip().replace("’", "'")
    asked = question_of(question)
    found: Outcome = "right"
    for part in check.split(" && "):
        kind, _, argument = part.partition(":")
        read = _READINGS.get(kind)
        if read is not None:
            outcome = read(text, argument.strip(), asked)
        else:
            outcome = "right" if _KINDS[kind](text, argument.strip()) else "wrong"
        if outcome == "wrong":
            return "wrong"
        if outcome == "unclear":
            found = "unclear"
    return found


def _listed(argument: str) -> list[str]:
    return argument.split(", ")


def _pick(text: str, argument: str, question: Question) -> Outcome:
    right, _, wrong = argument.partition(" | ")
    return read_pick(text, right, _listed(wrong), question)


def _options(argument: str) -> tuple[str, dict[str, list[str]]]:
    """The main argument, and the lists after it: ``a; given: 1, 2``."""
    wanted, *options = argument.split(";")
    named = (option.partition(":") for option in options)
    return wanted.strip(), {name.strip(): _listed(values.strip()) for name, _, values in named}


def _any(text: str, argument: str, question: Question) -> Outcome:
    words, options = _options(argument)
    return read_words(text, _listed(words), question, wrong=options.get("not", ()))


def _number(text: str, argument: str, question: Question) -> Outcome:
    wanted, options = _options(argument)
    numbers = {name: [float(number) for number in values] for name, values in options.items()}
    return read_number(text, float(wanted), question, given=numbers.get("given", ()), aside=numbers.get("aside", ()))


def _yes(text: str, argument: str, question: Question) -> Outcome:
    """What the first word says, unless the rest contradicts it; without such a word, what the rest says."""
    stated = read_denial(text, _listed(argument), question)
    if _NO.match(text) is not None:
        return "unclear" if stated else "wrong"
    yes = _YES.match(text)
    if yes is not None:
        return "unclear" if stated is False or claims_taken_back(text[yes.end() :]) else "right"
    return "right" if stated else "wrong"


def _no(text: str, argument: str, question: Question) -> Outcome:
    claimed, options = _options(argument)
    stated = read_denial(text, _listed(claimed), question)
    instead = claims_word(text, options.get("instead", []))
    if _YES.match(text) is not None:
        return "unclear" if stated is False and not instead else "wrong"
    no = _NO.match(text)
    if no is not None:
        return "unclear" if stated or claims_taken_back(text[no.end() :]) else "right"
    if stated:
        return "unclear" if instead else "wrong"
    return "right" if stated is False or instead else "wrong"


def _talks(text: str, argument: str) -> bool:
    return is_prose(text, 2) or any(normalize_text(text) == word for word in _listed(argument) if word)


def _within(count: int, argument: str) -> bool:
    low, high = argument.split("..")
    return int(low) <= count <= int(high)


def _count(text: str, argument: str) -> bool:
    limits, _, word = argument.partition(" ")
    return _within(len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)), limits)


def _lines(text: str, argument: str) -> bool:
    limits, _, pattern = argument.partition(" ")
    compiled = compile_pattern(pattern)
    return _within(sum(compiled.search(line) for line in text.splitlines()), limits)


def _ends(text: str, argument: str) -> bool:
    return f" {normalize_text(text)}".endswith(f" {normalize_text(argument)}")


def _count_sentences(text: str) -> int:
    """Texts with a word character that end in punctuation, which whitespace, a quote or a bracket follows."""
    count = start = 0
    for end in _SENTENCE_END.finditer(text):
        following = text[end.end() : end.end() + 1]
        if (not following or following.isspace() or following in "\"')") and re.search(
            r"\w", text[start : end.start()]
        ):
            count += 1
        start = end.end()
    return count


def _json(text: str, argument: str) -> bool:
    opening = _OPENING_FENCE.match(text)
    if opening is not None and text.endswith("```") and opening.end() <= len(text) - 3:
        text = text[opening.end() : -3].strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if argument.startswith("["):
        return bool(value == json.loads(argument))
    if not isinstance(value, dict):
        return False
    for part in argument.split(", "):
        key, equals, wanted = part.partition("=")
        if key not in value or (equals and str(_plain(value[key])) != wanted):
            return False
    return True


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else value


_KINDS: dict[str, Callable[[str, str], bool]] = {
    "talks": _talks,
    "has": lambda text, argument: any(has_word(text, word) for word in _listed(argument)),
    "has all": lambda text, argument: all(has_word(text, word) for word in _listed(argument)),
    "lacks": lambda text, argument: is_prose(text, 3) and not any(has_word(text, word) for word in _listed(argument)),
    "count": _count,
    "case": lambda text, argument: has_word(text, argument, case=True),
    "only": lambda text, argument: normalize_text(text) == normalize_text(argument),
    "starts": lambda text, argument: f"{normalize_text(text)} ".startswith(f"{normalize_text(argument)} "),
    "ends": _ends,
    "words": lambda text, argument: _within(len(text.split()), argument),
    "sentences": lambda text, argument: _within(_count_sentences(text), argument),
    "prose": lambda text, argument: is_prose(text, int(argument)),
    "lines": _lines,
    "json": _json,
    "regex": lambda text, argument: compile_pattern(argument).search(text),
}
"""Checks of how an answer is written, which a program can always decide."""

_READINGS: dict[str, Callable[[str, str, Question], Outcome]] = {
    "any": _any,
    "symbol": lambda text, argument, question: read_words(text, _listed(argument), question, case=True),
    "pick": _pick,
    "number": _number,
    "yes": _yes,
    "no": _no,
    "refuses": lambda text, argument, question: read_refusal(text),
    "declines": lambda text, argument, question: read_decline(text),
    "supports": lambda text, argument, question: read_support(text),
    "helps": lambda text, argument, question: read_help(text, _listed(argument) if argument else []),
}
"""Checks of what an answer says."""
