"""English number words as digits, so that "nine" and "9" are the same answer."""

from __future__ import annotations

import re

__all__ = ["with_digits"]

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {
    **{word: value for value, word in enumerate(_UNITS)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
    "dozen": 12,
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_WORD = "|".join([*_VALUES, *_SCALES])
_NUMBER = re.compile(rf"(?<![\w-])(?:an?[ ])?(?:{_WORD})(?:(?:[ -]|[ ]and[ ])(?:{_WORD}))*(?![\w-])", re.IGNORECASE)


def with_digits(text: str) -> str:
    """Replace number words by digits.

    A lone "one" stays, because it is more often a pronoun ("this one") than a number.

    Args:
        text: any text.

    Returns:
        The text, in which for example "one hundred and eighty" is "180".
    """
    return _NUMBER.sub(_digits, text)


def _digits(match: re.Match[str]) -> str:
    words = [word for word in re.split(r"[ -]+", match[0].casefold()) if word not in ("and", "a", "an")]
    if words == ["one"]:
        return match[0]
    numbers: list[int] = []
    total = current = 0
    previous = ""
    for word in words:
        if word in _SCALES:
            scale = _SCALES[word]
            current = max(current, 1) * scale
            if scale > 100:
                total, current = total + current, 0
        else:
            if previous and not _joins(previous, word):  # "seven eight" are two numbers
                numbers.append(total + current)
                total = current = 0
            current += _VALUES[word]
        previous = word
    numbers.append(total + current)
    return " ".join(map(str, numbers))


def _joins(previous: str, word: str) -> bool:
    """Whether two number words in a row are parts of one number: after a scale, or "twenty" before "one" to "nine"."""
    return previous in _SCALES or (previous in _TENS and 0 < _VALUES[word] < 10)
