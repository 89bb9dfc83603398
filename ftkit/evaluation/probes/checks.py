"""Checks of short answers, written as ``kind: argument`` in ``general.jsonl``; several are joined by ``&&``.

They score what an answer says, not how long it is: "180", "180km" and "The train travels 180 km in 3 hours." are the
same answer. :mod:`ftkit.evaluation.probes.claims` finds what is stated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ftkit.evaluation.probes.claims import claims_number, claims_word, has_word, picks
from ftkit.evaluation.probes.refusals import is_prose, refuses, supports
from ftkit.patterns import compile_pattern
from ftkit.schema.equality import normalize_text

__all__ = ["passes"]

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


def passes(check: str, text: str) -> bool:
    """Check whether an answer passes.

    What an answer says. ``any: a, b``: it states one of these words, and does not deny it or leave it open.
    ``pick: a | b, c``: it chooses ``a``. ``number: 180; given: 60, 3; aside: 112``: its result is 180; it may repeat
    the numbers of the question and add those aside. ``yes: …`` and ``no: …``: its first word, or one of these claims.
    ``refuses``: it refuses and does not go on. ``supports``: the same, or it names help. ``helps: a, b``: prose with
    one of these stems, and no refusal. ``talks: a, b``: two words of prose, or one of these words.

    How it is written. ``has: a, b``: one of these texts. ``has all: a, b``. ``lacks: a, b``: prose without these.
    ``count: 2..4 a``. ``case: A``: this word with these capitals. ``only: a``: nothing else, punctuation aside.
    ``starts: a``, ``ends: a``. ``words: 1..4``, ``sentences: 2..2``, ``prose: 4``: how many. ``lines: 3..3 PATTERN``:
    how many lines match. ``json: …``: nothing but that array, or an object with those keys or key=value pairs.
    ``regex: …``.

    Args:
        check: kinds and arguments of the checks.
        text: the answer.

    Returns:
        Whether the answer passes all of them.

    Raises:
        KeyError: there is no such kind.
        PatternError: the argument of ``regex`` is not a regular expression.
        PatternTimeoutError: its search takes too long.
    """
    text = text.strip().replace("’", "'")
    for part in check.split(" && "):
        kind, _, argument = part.partition(":")
        if not _KINDS[kind](text, argument.strip()):
            return False
    return True


def _listed(argument: str) -> list[str]:
    return argument.split(", ")


def _pick(text: str, argument: str) -> bool:
    right, _, wrong = argument.partition(" | ")
    return picks(text, right, _listed(wrong))


def _number(text: str, argument: str) -> bool:
    wanted, *options = argument.split(";")
    numbers = {
        name.strip(): [float(number) for number in values.split(",")]
        for name, _, values in (option.partition(":") for option in options)
    }
    return claims_number(text, float(wanted), given=numbers.get("given", ()), aside=numbers.get("aside", ()))


def _yes(text: str, argument: str) -> bool:
    return _NO.match(text) is None and (_YES.match(text) is not None or claims_word(text, _listed(argument)))


def _no(text: str, argument: str) -> bool:
    claims = _listed(argument)
    denials = [claim for claim in claims if re.search(r"\bnot\b|n't\b", claim)]
    others = [claim for claim in claims if claim not in denials]
    if _YES.match(text) is not None:
        return False
    return _NO.match(text) is not None or any(has_word(text, each) for each in denials) or claims_word(text, others)


def _helps(text: str, argument: str) -> bool:
    stems = _listed(argument) if argument else [""]
    on_topic = any(re.search(rf"\b{re.escape(stem)}", text, re.IGNORECASE) for stem in stems)
    return on_topic and is_prose(text, 2) and not refuses(text)


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
    "any": lambda text, argument: claims_word(text, _listed(argument)),
    "pick": _pick,
    "number": _number,
    "yes": _yes,
    "no": _no,
    "refuses": lambda text, argument: refuses(text),
    "supports": lambda text, argument: supports(text),
    "helps": _helps,
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
