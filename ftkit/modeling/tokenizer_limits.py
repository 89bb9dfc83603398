"""Limits of what a tokenizer does to a text, checked before it reads the first one.

A tokenizer.json is a program, too: it replaces texts by longer ones, repeats them, and searches them with regular
expressions by an engine that goes back. Nothing can interrupt it, because it is no Python.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from typing import Any

from ftkit.errors import ModelError

__all__ = ["check_tokenizer"]

_MAX_GROWTH = 256
"""How many characters, or copies, may be made of one. Unicode's own normalisation makes up to 18."""
_MAX_STEPS = 256
_MAX_WORD = 10_000
"""Characters of a word that WordPiece searches for pieces, in time that grows with their square. 100 is usual."""
_MAX_PATTERN = 20_000
_MAX_REPEATS = 4
"""Repetitions without a limit that follow each other in one alternative of a pattern."""
_PROBES = ((60, 0.02), (240, 0.05), (2_000, 0.25))
"""Characters of a text, and the seconds of processor time that a search in it may take. Those of known models take
less than a thousandth; what grows with the third power of the length fails at the second probe."""
_MAX_TRIES = 3
_COMPONENTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")


def check_tokenizer(tokenizer: Any, what: str) -> None:
    """Refuse a tokenizer that makes far more of a text than it is, or takes far too long for it.

    Args:
        tokenizer: a transformers tokenizer. One that is written in Python has no such parts.
        what: the beginning of the message of an error.

    Raises:
        ModelError: names the part of the tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return
    longest = getattr(backend.model, "max_input_chars_per_word", None)
    if isinstance(longest, int) and longest > _MAX_WORD:
        raise ModelError(f"{what}: max_input_chars_per_word is {longest:,}, more than {_MAX_WORD:,}")
    for name in _COMPONENTS:
        part = getattr(backend, name)
        if part is None:
            continue
        steps = _steps(part)
        if len(steps) > _MAX_STEPS:
            raise ModelError(f"{what}: its {name} has {len(steps):,} steps, more than {_MAX_STEPS}")
        growth = 1.0
        for step in steps:
            pattern = step.get("pattern")
            if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
                _check_pattern(pattern["Regex"], f"{what}: its {name}")
            growth *= _growth(step)
        if growth > _MAX_GROWTH:
            raise ModelError(f"{what}: its {name} makes a text more than {_MAX_GROWTH} times as long")


def _steps(component: Any) -> list[dict[str, Any]]:
    """The steps of a component; a sequence consists of others."""
    try:
        pending = [json.loads(component.__getstate__())]
    except Exception:  # one that is written in Python cannot be serialised
        return []
    steps = []
    while pending:
        part = pending.pop()
        steps.append(part)
        for name in ("normalizers", "pretokenizers", "processors", "decoders"):
            pending += [one for one in part.get(name) or () if isinstance(one, dict)]
    return steps


def _growth(step: dict[str, Any]) -> float:
    """How many times as long a step makes a text of many characters, or the text of a token."""
    if step.get("type") == "Replace":
        pattern = step.get("pattern") or {}
        replaced = len(pattern["String"]) if isinstance(pattern.get("String"), str) else 1
        return max(1.0, len(str(step.get("content", ""))) / max(1, replaced))
    if step.get("type") == "TemplateProcessing":
        single = step.get("single") or ()
        special = sum(len(token.get("ids") or ()) for token in (step.get("special_tokens") or {}).values())
        return float(max(1, sum("Sequence" in piece for piece in single), len(single) * special / 64))
    return 1.0


@functools.lru_cache(maxsize=256)
def _check_pattern(pattern: str, what: str) -> None:
    """Refuse a pattern that takes time without bounds.

    The form is checked first: repetitions inside of repetitions take exponential time, which nobody can wait for even
    once. A trial then finds those whose time grows with a high power of the length.

    Raises:
        ModelError: it does.
    """
    if len(pattern) > _MAX_PATTERN:
        raise ModelError(f"{what} has a pattern of {len(pattern):,} characters, more than {_MAX_PATTERN:,}")
    problem = _form_problem(pattern) or _trial_problem(pattern)
    if problem is not None:
        raise ModelError(f"{what} has a pattern that {problem}: {pattern[:120]!r}")


def _form_problem(pattern: str) -> str | None:
    """Say what in the form of a pattern takes exponential time; None if nothing does."""
    # One entry for each open group: the repetitions in its longest alternative, and in the present one.
    groups: list[list[int]] = [[0, 0]]
    last = 0  # repetitions inside of what was read last
    place = 0
    while place < len(pattern):
        sign = pattern[place]
        place += 1
        if sign == "\\":
            if pattern[place : place + 1] in ("g", "k"):
                return "calls or repeats its own groups"
            braced = place + 1 < len(pattern) and pattern[place] in "pPx" and pattern[place + 1] == "{"
            place = pattern.find("}", place) + 1 if braced else place + 1
            if place <= 0:
                return "is cut off"
            last = 0
        elif sign == "[":
            place, last = _end_of_set(pattern, place), 0
        elif sign == "(":
            groups.append([0, 0])
        elif sign in "|)":
            groups[-1][0] = max(groups[-1])
            groups[-1][1] = 0
            if sign == ")" and len(groups) > 1:
                last = groups.pop()[0]
                groups[-1][1] += last
        elif sign in "*+" or (sign == "{" and _is_endless(pattern, place)):
            if sign == "{":
                place = pattern.find("}", place) + 1
            possessive = pattern[place : place + 1] == "+"
            if last and not possessive:
                return "repeats a repetition"
            groups[-1][1] += not possessive
            if groups[-1][1] > _MAX_REPEATS:
                return f"has more than {_MAX_REPEATS} repetitions one after the other"
            place += pattern[place : place + 1] in ("+", "?") and bool(pattern[place : place + 1])
            last = 0
        elif sign == "{":
            place = max(place, pattern.find("}", place) + 1)
        elif sign != "?":
            last = 0
    return None


def _is_endless(pattern: str, place: int) -> bool:
    """Whether a quantifier in braces has no upper bound."""
    inside = pattern[place : max(place, pattern.find("}", place))]
    return inside.endswith(",") and inside[:-1].isdigit()


def _end_of_set(pattern: str, place: int) -> int:
    """The place after a set in brackets, which may contain others."""
    depth = 1
    if pattern[place : place + 1] == "^":
        place += 1
    if pattern[place : place + 1] == "]":
        place += 1
    while place < len(pattern) and depth:
        sign = pattern[place]
        depth += (sign == "[") - (sign == "]")
        place += 2 if sign == "\\" else 1
    return place


def _trial_problem(pattern: str) -> str | None:
    """Search texts of growing length; say that it takes too long."""
    from tokenizers import Regex, pre_tokenizers

    try:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
    except Exception as error:  # the library raises bare ones
        return f"cannot be read ({str(error)[:100]})"
    for length, seconds in _PROBES:
        for text in _probes(length, pattern):
            if _seconds(split, text, seconds) > seconds:
                return f"takes more than {seconds:g} s for {length:,} characters"
    return None


def _probes(length: int, pattern: str) -> Iterator[str]:
    """Texts that go on and on, and such that end with what the pattern itself names."""
    words = "The patient of 1947 takes 2.5 mg twice, doesn't she? \n"
    named = "".join(dict.fromkeys(sign for sign in pattern if sign not in "\\()[]{}*+?|^$"))[:40]
    for text in ("a", "A", "1", " ", "\n", "!", "é", "漢", "aB", "a ", "1,", words):
        long = (text * length)[:length]
        yield long
        yield f"{long}{named}"


def _seconds(split: Any, text: str, limit: float) -> float:
    """Processor time of a search; of the fastest of some, because a busy machine slows single ones."""
    fastest = float("inf")
    for _ in range(_MAX_TRIES):
        begin = time.thread_time()
        try:
            split.pre_tokenize_str(text)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of the library in Rust, whose engine gives up
                raise
            return float("inf")
        fastest = min(fastest, time.thread_time() - begin)
        if fastest <= limit:
            break
    return fastest
