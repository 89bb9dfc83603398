"""Numbers with their nouns and verbs: "1 row is", "2 rows are"."""

from __future__ import annotations

__all__ = ["counted", "verb"]


def counted(number: int, noun: str) -> str:
    """Write a number with its noun.

    Args:
        number: The number.
        noun: The noun in the singular.

    Returns:
        For example ``"1 row"`` or ``"1,200 rows"``.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def verb(number: int, singular: str, plural: str) -> str:
    """Choose the form of a word by a number, of a verb for example.

    Args:
        number: The number.
        singular: The form for one, for example ``is``.
        plural: The form for any other number, for example ``are``.

    Returns:
        The form.
    """
    return singular if number == 1 else plural
