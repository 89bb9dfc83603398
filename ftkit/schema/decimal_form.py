"""Decimals in a JSON Schema: how they are declared, and the one form in which a target has them.

A decimal is a number or a string with a number, as pydantic takes it. The string's pattern states the precision, so
that whoever has the schema and not the Python class writes the same target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = ["DecimalForm", "decimal_form", "decimal_pattern"]

_PATTERN = re.compile(
    r"\^\[\+-\]\?(?:\\d\+|0\*\\d\{1,(?P<whole>\d{1,4})\}|(?P<none>0\+))(?:\(\\\.\\d(?:\+|\{1,(?P<places>\d{1,4})\}0\*)\)\?|"
    r"(?P<integer>\(\\\.0\+\)\?))\$"
)
_MOST_ZEROS = 60
"""Decimals with more zeros before or after their digits keep their exponent: ``1E+100``."""


@dataclass(frozen=True, slots=True)
class DecimalForm:
    """The declaration of a decimal.

    Attributes:
        places: decimal places; None if their number is free.
        digits: highest number of digits in all; None if it is free or not known from the schema.
        bounds: keywords such as ``minimum`` with their values.
        others: the other alternatives of the schema, e.g. null.
    """

    places: int | None
    digits: int | None
    bounds: dict[str, Any]
    others: tuple[Any, ...]

    def text(self, value: Any) -> str | None:
        """Write a decimal in its one form: with all its decimal places if their number is fixed, else the shortest.

        Args:
            value: a number, or a string with one.

        Returns:
            The text; None if the value is no such number, or has more decimal places than are declared.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            number = Decimal(value if isinstance(value, str) else repr(value))
        except InvalidOperation:
            return None
        if not number.is_finite():
            return None
        # Not normalize(), which rounds to the precision of the thread's context.
        sign, digits, exponent = number.as_tuple()
        if not number:
            digits, exponent, sign = (0,), 0, 0
        elif isinstance(exponent, int):
            trailing = len(digits) - len("".join(map(str, digits)).rstrip("0"))
            digits, exponent = digits[: len(digits) - trailing], exponent + trailing
        if not isinstance(exponent, int) or (self.places is not None and -exponent > self.places):
            return None
        if abs(exponent) > _MOST_ZEROS + len(digits):
            return str(Decimal((sign, digits, exponent)))
        text = f"{Decimal((sign, digits, exponent)):f}"
        if not self.places:
            return text
        whole, _, fraction = text.partition(".")
        return f"{whole}.{fraction.ljust(self.places, '0')}"


def decimal_pattern(places: int | None, digits: int | None) -> str:
    """Return the pattern of a string with a decimal.

    Args:
        places: highest number of decimal places; None if any.
        digits: highest number of digits in all; it is stated only together with ``places``.

    Returns:
        A regular expression. Zeros at both ends do not count.
    """
    whole = r"\d+"
    if places is not None and digits is not None:
        whole = rf"0*\d{{1,{digits - places}}}" if digits > places else "0+"
    if places is None:
        return rf"^[+-]?{whole}(\.\d+)?$"
    return rf"^[+-]?{whole}(\.\d{{1,{places}}}0*)?$" if places else rf"^[+-]?{whole}(\.0+)?$"


def decimal_form(schema: Any) -> DecimalForm | None:
    """Recognise the schema of a decimal.

    Args:
        schema: a schema.

    Returns:
        The decimal; None if the schema is that of something else.
    """
    alternatives = schema.get("anyOf") if isinstance(schema, dict) else None
    if not isinstance(alternatives, list):
        return None
    numbers = [one for one in alternatives if isinstance(one, dict) and one.get("type") == "number"]
    texts = [one for one in alternatives if isinstance(one, dict) and one.keys() == {"type", "pattern"}]
    if len(numbers) != 1 or len(texts) != 1 or texts[0]["type"] != "string":
        return None
    found = _PATTERN.fullmatch(texts[0]["pattern"])
    if found is None:
        return None
    places = 0 if found["integer"] else int(found["places"]) if found["places"] else None
    whole = 0 if found["none"] else int(found["whole"]) if found["whole"] else None
    return DecimalForm(
        places=places,
        digits=None if whole is None or places is None else whole + places,
        bounds={keyword: value for keyword, value in numbers[0].items() if keyword != "type"},
        others=tuple(one for one in alternatives if one is not numbers[0] and one is not texts[0]),
    )
