"""Copy models and pickle them: by name, never with weights, connections or keys."""

from __future__ import annotations

from typing import TypeVar

from ftkit.backends import Backend
from ftkit.errors import ConfigError

__all__ = ["pickled_name", "shared_copy"]

T = TypeVar("T")


def shared_copy(value: T) -> T:
    """Copy an object whose attributes cannot change: a backend, which all copies share, and frozen data.

    Args:
        value: the object.

    Returns:
        The copy.
    """
    copied = object.__new__(type(value))
    copied.__dict__.update(value.__dict__)
    return copied


def pickled_name(spec: str | None, backend: Backend, what: str) -> str:
    """Return the name under which a pickle finds a model again.

    Args:
        spec: ``"backend:model"``; None if the model was made from a backend object.
        backend: its backend.
        what: what is pickled, for the error.

    Returns:
        The name.

    Raises:
        ConfigError: the model was made from a backend object, whose address and key a pickle must not hold.
    """
    if spec is None:
        name = f"{backend.name}:{backend.model}"
        raise ConfigError(
            f"this {what} was made from a backend object, whose address and key are not pickled. Make it in the other "
            f"process, or by name where the environment holds the key: ft.{what}({name!r}, …)"
        )
    return spec
