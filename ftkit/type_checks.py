"""Arguments of another kind than a public function takes: said at once, not as a fault deep inside."""

from __future__ import annotations

from ftkit.errors import ConfigError

__all__ = ["check_kind"]


def check_kind(value: object, kind: type | tuple[type, ...], name: str, wanted: str) -> None:
    """See that ``value`` is a ``kind``.

    Args:
        value: what was given.
        kind: what it must be an instance of.
        name: of the argument, to begin the message with.
        wanted: what to give instead, as an example in code.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(value, kind):
        return
    if isinstance(value, type):
        given = f"the class {value.__name__}"
    else:
        plain = value is None or isinstance(value, str | int | float)
        given = f"{value!r:.60}" if plain else f"a {type(value).__name__}"
    raise ConfigError(f"{name} is {given}; give {wanted}")
