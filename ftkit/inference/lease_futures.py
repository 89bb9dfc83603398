"""The futures through which callers wait for a loaded model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from ftkit.inference.leases import Lease

__all__ = ["abandon_lease", "ask_in_thread", "deliver_lease", "finish", "hold"]

L = TypeVar("L", bound=Lease)


def deliver_lease(future: Future[L], lease: L, ready: Future[Any]) -> None:
    """Resolve the future of a lease with the lease, or with the error that kept the model from loading.

    Args:
        future: the future that the caller waits for. If it was cancelled, the lease is released.
        lease: the lease.
        ready: the completed loading of the model.
    """
    error = ready.exception()
    if error is not None:
        lease.release()
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
    elif future.set_running_or_notify_cancel():
        future.set_result(lease)
    else:
        lease.release()


def abandon_lease(future: Future[L]) -> None:
    """Stop waiting for a lease, and release it if it is granted all the same.

    Args:
        future: the future of the lease.
    """
    future.cancel()
    future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else done.result().release())


@contextmanager
def hold(future: Future[L]) -> Iterator[L]:
    """Wait for a lease, and release it at the end.

    Args:
        future: the future of the lease.

    Yields:
        The lease.
    """
    try:
        lease = future.result()
    except BaseException:
        abandon_lease(future)
        raise
    try:
        yield lease
    finally:
        lease.release()


async def ask_in_thread(thread: ThreadPoolExecutor, acquire: Callable[[], Future[L]]) -> L:
    """Wait for a lease without blocking the event loop. A lease that nobody waits for any more is released.

    Args:
        thread: where the lease is asked for.
        acquire: asks for it.

    Returns:
        The lease, which the caller releases.

    Raises:
        CancelledError: the caller was cancelled.
    """
    asking = asyncio.get_running_loop().run_in_executor(thread, acquire)
    try:
        future = await asyncio.shield(asking)
    except asyncio.CancelledError:
        asking.add_done_callback(
            lambda done: None if done.cancelled() or done.exception() else abandon_lease(done.result())
        )
        raise
    try:
        return await asyncio.wrap_future(future)
    except BaseException:
        abandon_lease(future)
        raise


def finish(future: Future[None], error: BaseException | None) -> None:
    """Complete a future.

    Args:
        future: the future.
        error: the error to set, or None for success.
    """
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
