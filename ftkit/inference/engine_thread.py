"""An engine in a thread of its own. Everything that touches the model happens there, between two steps."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from typing_extensions import override

from ftkit.errors import FtkitError, ModelError
from ftkit.inference.active_request import ActiveRequest
from ftkit.inference.engine import TorchEngine
from ftkit.inference.multi_lora import free_unused_memory
from ftkit.inference.protocol import EngineStats, GenerationRequest, InferenceEngine, OnEvent

__all__ = ["EngineThread"]

_log = logging.getLogger("ftkit.inference")
T = TypeVar("T")


_running: weakref.WeakSet[EngineThread] = weakref.WeakSet()

_EXIT_S = 30.0
"""Seconds that all engines together get to end their current step when the interpreter exits."""


@atexit.register
def _stop_at_exit() -> None:
    """Stop every engine before the interpreter ends: the process aborts if a thread is killed while torch computes."""
    engines = list(_running)
    for engine in engines:
        engine.stop()
    deadline = time.monotonic() + _EXIT_S
    for engine in engines:
        engine.join(max(0.0, deadline - time.monotonic()))


class EngineThread(InferenceEngine):
    """Loads a model, generates while there are requests, and sleeps otherwise. Any thread may use it.

    Args:
        name: name of the thread.
        on_stopped: called by the thread when it has freed the model.

    Attributes:
        model: what :meth:`load` loaded; None before and after.
        engine: the engine; None before, after, and for a model that generates nothing.
    """

    def __init__(self, name: str, on_stopped: Callable[[], None] | None = None) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._stopping = self._ended = False
        self._on_stopped = on_stopped
        self.model: Any = None
        self.engine: TorchEngine | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        _running.add(self)

    @property
    @override
    def max_length(self) -> int | None:
        engine = self.engine
        return None if engine is None else engine.max_length

    def load(self, load: Callable[[], Any]) -> Future[Any]:
        """Load the model; the first task of the thread.

        Args:
            load: returns a :class:`~ftkit.inference.engine.TorchEngine`, or a model that only :meth:`call` uses.

        Returns:
            The loaded model.
        """

        def task() -> Any:
            loaded = load()
            if isinstance(loaded, TorchEngine):
                self.engine, self.model = loaded, loaded.model
            else:
                self.model = loaded
            return self.model

        return self.call(task)

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Call a function in the thread, between two steps.

        Args:
            function: the function. It must not wait for this engine.

        Returns:
            Its result.
        """
        result: Future[T] = Future()

        def task() -> None:
            if not result.set_running_or_notify_cancel():
                return
            if self._stopping:
                result.set_exception(ModelError("the model was unloaded"))
                return
            try:
                result.set_result(function())
            except Exception as error:
                result.set_exception(error)

        self._put(task)
        return result

    @override
    def add(self, request: GenerationRequest, on_event: OnEvent) -> ActiveRequest:
        active = ActiveRequest(request, on_event)

        def task() -> None:
            if self.engine is None:
                active.fail(ModelError("the model was unloaded"))
            elif not active.finished:
                self.engine.add_active(active)

        self._put(task)
        return active

    @override
    def cancel(self, handle: ActiveRequest) -> None:
        handle.finished = True

        def task() -> None:
            if self.engine is not None:
                self.engine.cancel(handle)

        self._put(task)

    @override
    def stats(self) -> EngineStats:
        engine = self.engine  # the thread may end meanwhile
        return EngineStats() if engine is None else engine.stats()

    def stop(self) -> None:
        """End the thread after the current step, and free the model. Requests in progress fail."""

        def task() -> None:
            self._stopping = True

        self._put(task)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the thread has ended.

        Args:
            timeout_s: wait at most this many seconds. None: no limit.
        """
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping:
            self._run_tasks()
            if not self._stopping and self.engine is not None and self.engine.busy:
                try:
                    self.engine.step()
                except Exception as error:
                    self._fail(error)
        if self.engine is not None:
            self.engine.fail(ModelError("the model was unloaded"))
        self.engine = self.model = None
        free_unused_memory()
        if self._on_stopped is not None:
            self._on_stopped()
        with self._lock:
            self._ended = True
        self._run_late_tasks()

    def _put(self, task: Callable[[], None]) -> None:
        with self._lock:
            if not self._ended:
                self._tasks.put(task)
                return
        task()  # the thread has ended: the task finds no model

    def _run_tasks(self) -> None:
        """Run all tasks that are queued; without requests, wait for one."""
        idle = self.engine is None or not self.engine.busy
        while not self._stopping:
            try:
                task = self._tasks.get(block=idle)
            except Empty:
                return
            idle = False
            try:
                task()
            except Exception as error:
                self._fail(error)

    def _run_late_tasks(self) -> None:
        """Run what was queued after the stop, so that nobody waits for ever."""
        while True:
            try:
                self._tasks.get(block=False)()
            except Empty:
                return

    def _fail(self, error: Exception) -> None:
        """Something failed, mostly for lack of memory. Current requests are lost; later ones may succeed."""
        _log.exception("the model failed")
        if self.engine is not None:
            self.engine.fail(error if isinstance(error, FtkitError) else ModelError(f"the model failed: {error}"))
