"""Creating something that costs money once, whatever becomes of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ftkit.backends.hosted.retry import Patience
from ftkit.errors import HostError

__all__ = ["create_once"]

Made = TypeVar("Made")


def create_once(patience: Patience, create: Callable[[], Made], find: Callable[[], Made | None]) -> Made | None:
    """What ``create`` makes. After an attempt whose end is not known, none is made before ``find`` has looked.

    Returns:
        What was made; ``None``: it may or may not be there, and the host cannot be asked.

    Raises:
        HostError: the host refused, and nothing was made.
    """
    unsure = False

    def once() -> Made:
        nonlocal unsure
        if unsure:
            found = find()
            if found is not None:
                return found
        try:
            return create()
        except HostError as error:
            unsure = unsure or error.unsure
            raise

    try:
        return patience(once)
    except HostError as error:
        if unsure:
            found = _look(patience, find)
            if found is not None or error.passing:
                return found
        raise


def _look(patience: Patience, find: Callable[[], Made | None]) -> Made | None:
    """What a look finds; an outage counts as nothing found."""
    try:
        return patience(find)
    except HostError as error:
        if error.passing:
            return None
        raise
