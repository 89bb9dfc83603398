"""Create a job, batch or file exactly once, whatever happens to the call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.backends.hosted.retry_notice import RetryNotice
from ftkit.errors import HostError

__all__ = ["Search", "create_once", "search_until_settled"]

Created = TypeVar("Created")

_SEARCHING = "it may have been created all the same, so ftkit searches for it until {until} before it asks again"


@dataclass(frozen=True, slots=True)
class Search(Generic[Created]):
    """The result of searching a host for what a call of unknown outcome may have created.

    Attributes:
        found: what was created; None if nothing was found.
        certain: whether the host was asked until the end of its settling time. If not, it may still exist.
        error: why the host could not be asked.
    """

    found: Created | None
    certain: bool
    error: HostError | None = None


def create_once(
    retry_policy: RetryPolicy,
    create: Callable[[], Created],
    find: Callable[[], Created | None],
    *,
    repeatable: bool = False,
) -> Created | None:
    """Create something at a host, and never twice.

    A host that answers with an error, or not at all, may have created it, may still be creating it, and may list it
    only later. After such an attempt ``find`` is called again and again for ``retry_policy.settle_s``, and only then
    is the next attempt made. An attempt that surely created nothing, such as one that was refused with 429, is
    repeated at once.

    Args:
        retry_policy: how both calls are retried.
        create: makes one attempt to create it.
        find: returns it if it exists at the host.
        repeatable: whether the host itself creates it once, however often it is asked: by a name that the caller chose
            or by an idempotency key. The next attempt is then made without the wait.

    Returns:
        What was created or found. None: it may or may not exist, and the host cannot be asked now.

    Raises:
        HostError: the host refused, and nothing was created.
    """
    tries, waited_s = 0, 0.0
    settle_s = 0.0 if repeatable else retry_policy.settle_s
    longest_s = retry_policy.budget_s + settle_s
    while True:
        try:
            return retry_policy(create, repeat_unsure=False)
        except HostError as error:
            if not error.unsure:
                raise
            failure = error
        tries += 1
        if settle_s:
            until = retry_policy.clock() + settle_s
            retry_policy.on_retry(RetryNotice(str(failure), tries, until, _SEARCHING))
        elif tries == 2:
            until = retry_policy.clock() + max(0.0, longest_s - waited_s)
            retry_policy.on_retry(RetryNotice(str(failure), tries, until))
        search = search_until_settled(retry_policy, find, settle_s)
        if search.found is not None or not search.certain:
            return search.found
        waited_s += settle_s
        if not failure.passing or waited_s >= longest_s:
            raise failure
        pause_s = retry_policy.delay_s(tries, failure.retry_after_s)
        retry_policy.sleep(pause_s)
        waited_s += pause_s


def search_until_settled(
    retry_policy: RetryPolicy, find: Callable[[], Created | None], settle_s: float
) -> Search[Created]:
    """Search a host until something is found or the settling time has passed.

    Args:
        retry_policy: sets the intervals, and how long the search goes on while the host cannot be asked.
        find: searches once.
        settle_s: how long, in seconds, it may take to appear from now on.

    Returns:
        What was found.
    """
    waited_s, down_s, tries = 0.0, 0.0, 0
    while True:
        error = None
        try:
            found = find()
        except HostError as failure:
            if not failure.passing:
                return Search(None, False, failure)
            error = failure
        else:
            if found is not None:
                return Search(found, True)
            down_s = 0.0
            if waited_s >= settle_s:
                return Search(None, True)
        if error is not None and waited_s >= settle_s and down_s >= retry_policy.budget_s:
            return Search(None, False, error)
        tries += 1
        pause_s = retry_policy.delay_s(tries, None if error is None else error.retry_after_s)
        if waited_s < settle_s:
            pause_s = min(pause_s, settle_s - waited_s)
        retry_policy.sleep(pause_s)
        waited_s += pause_s
        down_s = down_s + pause_s if error is not None else 0.0
