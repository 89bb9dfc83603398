"""Create a job or batch exactly once, whatever happens to the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.errors import HostError

__all__ = ["create_once"]

Created = TypeVar("Created")


def create_once(
    retry_policy: RetryPolicy, create: Callable[[], Created], find: Callable[[], Created | None]
) -> Created | None:
    """Create something at a host, and never twice.

    After an attempt whose outcome is unknown, ``find`` is called before the next attempt.

    Args:
        retry_policy: how both calls are retried.
        create: makes one attempt to create it.
        find: returns it if it exists at the host.

    Returns:
        What was created or found. None: it may or may not exist, and the host cannot be asked now.

    Raises:
        HostError: the host refused, and nothing was created.
    """
    in_doubt = False

    def attempt() -> Created:
        nonlocal in_doubt
        if in_doubt:
            existing = find()
            if existing is not None:
                return existing
        try:
            return create()
        except HostError as error:
            in_doubt = in_doubt or error.unsure
            raise

    try:
        return retry_policy(attempt)
    except HostError as error:
        if in_doubt:
            existing = _find_unless_down(retry_policy, find)
            if existing is not None or error.passing:
                return existing
        raise


def _find_unless_down(retry_policy: RetryPolicy, find: Callable[[], Created | None]) -> Created | None:
    """What ``find`` returns; None while the host cannot be reached."""
    try:
        return retry_policy(find)
    except HostError as error:
        if error.passing:
            return None
        raise
