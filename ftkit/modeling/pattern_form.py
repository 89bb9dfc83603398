"""The form of regular expressions that take exponential time, for engines that nothing can interrupt."""

from __future__ import annotations

__all__ = ["form_problem", "literal_characters"]

_MAX_REPEATS = 4
"""Repetitions without a limit that follow each other in one alternative of a pattern."""
_MAX_LITERALS = 40


def form_problem(pattern: str) -> str | None:
    """Say what in the form of a pattern takes exponential time.

    Args:
        pattern: the pattern, in the syntax that Python, Oniguruma and others share.

    Returns:
        What it does, as the end of a sentence about the pattern; None if nothing in its form is like that.
    """
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


def literal_characters(pattern: str) -> str:
    """List the characters that a pattern names, of which texts are made that are hard for it.

    Args:
        pattern: the pattern.

    Returns:
        Each once; at most 40.
    """
    return "".join(dict.fromkeys(sign for sign in pattern if sign not in "\\()[]{}*+?|^$"))[:_MAX_LITERALS]
