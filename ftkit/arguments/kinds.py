"""Check the types of arguments of public functions, so that a wrong one fails at once with a clear message."""

from __future__ import annotations

import math

from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError

__all__ = ["check_amount", "check_kind"]


def check_amount(value: object, name: str) -> None:
    """Check an amount of money. NaN would be above no limit and below none, so nothing would be refused.

    Args:
        value: the amount in US dollars; None if none was given.
        name: name of the argument.

    Raises:
        ConfigError: it is no finite number of at least 0.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and math.isfinite(value)
    if value is not None and not number:
        raise ConfigError(
            ErrorText(Argument(name, text=name), f" must be an amount in US dollars such as 5, not {value!r:.40}")
        )


def check_kind(value: object, kind: type | tuple[type, ...], name: str, wanted: str) -> None:
    """Check the type of an argument.

    Args:
        value: the argument.
        kind: the type that it must have.
        name: name of the argument; the message begins with it.
        wanted: what to pass instead, as an example in code.

    Raises:
        ConfigError: the argument has another type.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds or object in kinds):
        return
    if isinstance(value, type):
        given = f"the class {value.__name__}"
    else:
        plain = value is None or isinstance(value, str | int | float)
        given = f"{value!r:.60}" if plain else f"a {type(value).__name__}"
    raise ConfigError(ErrorText(f"{name} is {given}; pass ", wanted))
