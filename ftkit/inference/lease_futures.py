"""The futures through which callers wait for a loaded model."""

from __future__ import annotations

from concurrent.futures import Future

from ftkit.inference.loaded_model import ModelLease

__all__ = ["abandon_lease", "deliver_lease", "finish"]


def deliver_lease(future: Future[ModelLease], lease: ModelLease, ready: Future[None]) -> None:
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


def abandon_lease(future: Future[ModelLease]) -> None:
    """Stop waiting for a lease, and release it if it is granted all the same.

    Args:
        future: the future of the lease.
    """
    future.cancel()
    future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else done.result().release())


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
