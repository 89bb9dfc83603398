"""The thread that owns a loaded model. Everything that touches the model is done by it, between two steps."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from ftkit.errors import FtkitError, ModelError
from ftkit.inference.continuous_batching import Stepping, carries_state
from ftkit.inference.multi_lora import Mixed, release
from ftkit.inference.recurrent_decoding import Apart
from ftkit.inference.request import Answering

__all__ = ["Worker"]

_log = logging.getLogger("ftkit.inference")
T = TypeVar("T")


class Worker:
    """Loads a model, steps while anybody waits for an answer, sleeps otherwise.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._todo: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._answers: dict[int, Answering] = {}  # by the identity of their continuations
        self._stopped = False
        self.mixed: Mixed | None = None
        self.stepping: Stepping | Apart | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def open(self) -> int:
        """Answers that are being computed."""
        batch = self.stepping  # other threads look too, while the worker may end
        return 0 if batch is None else batch.open

    @property
    def waiting(self) -> int:
        """Answers that wait for room in the batch."""
        batch = self.stepping
        return 0 if batch is None else batch.waiting

    @property
    def kept_bytes(self) -> int:
        """Bytes of the beginnings that are kept."""
        batch = self.stepping
        return batch.prefixes.held_bytes if isinstance(batch, Stepping) else 0

    def load(self, make: Callable[[], Mixed], *, rows: int, cache_bytes: int) -> Future[Mixed]:
        """Load the model, the worker's first work."""

        def work() -> Mixed:
            self.mixed = make()
            if carries_state(self.mixed.model):
                self.stepping = Apart(self.mixed, rows=rows)
            else:
                self.stepping = Stepping(self.mixed, rows=rows, cache_bytes=cache_bytes)
            return self.mixed

        return self.call(work)

    def call(self, work: Callable[[], T]) -> Future[T]:
        """Have ``work`` done between two steps."""
        done: Future[T] = Future()

        def run() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        self._todo.put(run)
        return done

    def begin(self, answering: Answering) -> None:
        """Have a question answered."""

        def join() -> None:
            if answering.cancelled:
                return
            if self.stepping is None:
                answering.fail(ModelError("the model was unloaded"))
                return
            self._answers[id(answering.continuation)] = answering
            self.stepping.join(answering.continuation)

        self._todo.put(join)

    def cancel(self, answering: Answering) -> None:
        """Nobody waits for this answer any more: nothing further is computed for it."""
        answering.cancelled = True

        def leave() -> None:
            if self._answers.pop(id(answering.continuation), None) is not None and self.stepping is not None:
                self.stepping.leave(answering.continuation)

        self._todo.put(leave)

    def stop(self) -> None:
        """End the thread after the step that is under way and give the model's memory back."""

        def stop() -> None:
            self._stopped = True

        self._todo.put(stop)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            self._work()
            if self.stepping is not None and (self.stepping.open or self.stepping.waiting):
                self._step(self.stepping)
        self._fail(ModelError("the server is stopping"))
        self.stepping = self.mixed = None
        release()

    def _work(self) -> None:
        """Do what is asked for; with no answer under way, wait for something."""
        idle = not (self.open or self.waiting)
        while not self._stopped:
            try:
                work = self._todo.get(block=idle)
            except Empty:
                return
            idle = False
            try:
                work()
            except Exception as error:
                self._broken(error)

    def _step(self, stepping: Stepping | Apart) -> None:
        try:
            stepping.step()
        except Exception as error:
            self._broken(error)
        for key in [key for key, one in self._answers.items() if one.over]:
            del self._answers[key]

    def _broken(self, error: Exception) -> None:
        """Something failed, out of memory mostly. What was under way is lost; what comes later may be answered."""
        _log.exception("a model failed")
        if self.stepping is not None:
            self.stepping.clear()
        self._fail(error if isinstance(error, FtkitError) else ModelError(f"the model failed: {error}"))

    def _fail(self, error: Exception) -> None:
        failed = [*self._answers.values()]
        self._answers.clear()
        for one in failed:
            one.fail(error)
