"""Work in a thread of its own that keeps nobody waiting, not even the end of the interpreter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["in_background"]

T = TypeVar("T")


def in_background(function: Callable[[], T], name: str) -> Future[T]:
    """Call a function in a new thread. The interpreter does not wait for it, as it does for those of an executor.

    While the interpreter ends, which starts no threads any more (Python 3.12), it is called in this one.

    Args:
        function: the function.
        name: name of the thread.

    Returns:
        Its result.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        run()
    return future
