"""The models that vLLM serves for this process, each held by leases."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ftkit.background import in_background
from ftkit.errors import FtkitError, ModelError
from ftkit.inference.engine_error import EngineError
from ftkit.inference.lease_futures import ask_in_thread, deliver_lease, hold
from ftkit.inference.leases import LoadedModelStats
from ftkit.inference.model_files import find_model
from ftkit.inference.vllm.adapters import why_merged
from ftkit.inference.vllm.lease import NO_WEIGHTS, VLLMLease
from ftkit.inference.vllm.server import VLLMServer, Wanted
from ftkit.inference.vllm.settings import VLLMSettings
from ftkit.modeling.device import default_device
from ftkit.modeling.load_for_inference import own_precision

__all__ = ["VLLMPool", "close_pools", "vllm_pool"]

_log = logging.getLogger("ftkit.inference")
_pools: dict[VLLMSettings, VLLMPool] = {}
_pools_lock = threading.Lock()


def vllm_pool(settings: VLLMSettings) -> VLLMPool:
    """Return the pool of this process for some settings, which :class:`ftkit.Model` uses.

    Args:
        settings: how servers are started, or where one is.

    Returns:
        The pool; the same one for equal settings.
    """
    with _pools_lock:
        return _pools.setdefault(settings, VLLMPool(settings))


@atexit.register
def close_pools() -> None:
    """Stop all servers of :func:`vllm_pool`. Answers in progress fail; a later call of it makes a new pool."""
    with _pools_lock:
        pools = [*_pools.values()]
        _pools.clear()
    for pool in pools:
        pool.close()


class VLLMPool:
    """The servers of one kind of settings: one for each base model, with several adapters beside it.

    A server takes most of a GPU's memory. So before one more than ``max_servers`` is started, the one that nobody has
    used for longest is stopped.

    Args:
        settings: how servers are started, or where one is.
        wait: whether a model waits while all servers are in use. Otherwise its server is started beside them, because
            whoever waits may use the others himself.

    Attributes:
        tokenizer_thread: the thread for slow work with tokenizers, so that no event loop waits for it.
        tokenizer_lock: held while a tokenizer is used, which only one thread may do at a time.
    """

    def __init__(self, settings: VLLMSettings, *, wait: bool = False) -> None:
        self._settings, self._wait, self._owner = settings, wait, os.getpid()
        self._servers: dict[tuple[object, ...], VLLMServer] = {}
        self._retired: list[VLLMServer] = []
        self._waiting: deque[tuple[Wanted, Future[VLLMLease]]] = deque()
        self._closed = False
        self._lock = threading.RLock()
        self.tokenizer_thread = ThreadPoolExecutor(1, thread_name_prefix="ftkit-tokenizer")
        self.tokenizer_lock = threading.RLock()

    @property
    def no_weights(self) -> str | None:
        """Why no function can be called with a model's weights."""
        return NO_WEIGHTS

    @contextmanager
    def lease(self, name: str) -> Iterator[VLLMLease]:
        """Hold a model, and have it served first if needed.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.

        Yields:
            The model.

        Raises:
            ModelError: it cannot be found or served.
        """
        with hold(self.acquire(name)) as lease:
            yield lease

    async def lease_async(self, name: str) -> VLLMLease:
        """Hold a model without blocking the event loop; the caller releases it.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.

        Returns:
            The model.

        Raises:
            ModelError: it cannot be found or served.
        """
        return await ask_in_thread(self.tokenizer_thread, partial(self.acquire, name))

    def acquire(self, name: str) -> Future[VLLMLease]:
        """Ask for a model. Requests are served in their order.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.

        Returns:
            The lease, once the model is served. It fails with :class:`~ftkit.ModelError` if it cannot be served.

        Raises:
            ModelError: there is no such model, or the models are being unloaded.
        """
        wanted = self._wanted(name)
        future: Future[VLLMLease] = Future()
        with self._lock:
            if self._closed:
                raise ModelError("the models are being unloaded")
            self._waiting.append((wanted, future))
            self._advance()
        return future

    def unload(self, name: str) -> None:
        """Stop the server of a model, at once or, if it is in use, when it is released.

        Args:
            name: a name that it was leased by. Nothing happens if it is not served.
        """
        with self._lock:
            found = [server for server in self._servers.values() if name in server.names]
            stops = [self._retire(server) for server in found]
        for stop in stops:
            if stop is not None:
                stop.result()

    def stats(self) -> list[LoadedModelStats]:
        """Report on each server that runs or is being started.

        Returns:
            One entry per server.
        """
        with self._lock:
            servers = [*self._servers.values()]
        return [
            LoadedModelStats(server.label, server.adapters, None, None, server.stats.running, server.stats.waiting)
            for server in servers
        ]

    def close(self) -> None:
        """Stop all servers, for good. Answers in progress fail."""
        if os.getpid() != self._owner:  # a process that was forked from the one that has started them
            return
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
            servers = [*self._servers.values(), *self._retired]
            self._servers.clear()
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(ModelError("the models are being unloaded"))
        for server in servers:
            server.stopping = True
        for stop in [in_background(server.stop, "ftkit-vllm-stop") for server in servers]:
            stop.result()
        self.tokenizer_thread.shutdown(wait=False)

    def _wanted(self, name: str) -> Wanted:
        found = find_model(name, scores=False, share_bases=True)
        source, settings = found.source, self._settings
        precision = own_precision(source, default_device())
        merged = why_merged(source, settings.max_lora_rank)
        base, template = Path(source.base), source.template_file
        key: tuple[object, ...] = (str(base.resolve()) if base.is_dir() else source.base,)
        if settings.url is None:
            key = (*key, precision if settings.dtype == "auto" else settings.dtype)
        changed = () if template is None else (template, template.stat().st_mtime_ns, template.stat().st_size)
        if merged is None:
            adapter, identity = source.adapter, found.identity
            return Wanted(name, source, key, identity, adapter, found.adapter_identity, precision, None, changed)
        if settings.url is not None:
            raise EngineError(
                f"{name!r} cannot be served at {settings.url} beside its base: {merged}. Export it merged "
                "(ft.export), let vLLM serve that folder, and name it",
                f"the server of the model cannot serve it: {merged}",
            )
        identity = (*found.identity, *found.adapter_identity)
        return Wanted(name, source, (*key, source.adapter), identity, None, (), precision, merged, changed)

    def _advance(self) -> None:
        """Serve the requests that wait, as far as servers may be started; called with the lock held."""
        while self._waiting:
            wanted, future = self._waiting[0]
            if future.cancelled():
                self._waiting.popleft()
                continue
            try:
                server = self._server_for(wanted)
            except FtkitError as error:
                self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
                continue
            if server is None:
                return
            self._waiting.popleft()
            server.leases += 1
            server.names.add(wanted.name)
            served = server.serve(wanted)
            lease = VLLMLease(server, wanted, served, tokenizer_lock=self.tokenizer_lock, on_release=self._release)
            served.add_done_callback(partial(deliver_lease, future, lease))

    def _server_for(self, wanted: Wanted) -> VLLMServer | None:
        """The server of a model; None while it has to wait for another one to end."""
        server = self._servers.get(wanted.key)
        if server is not None and (server.dead or server.wanted.identity != wanted.identity):
            self._retire(server)
            server = None
        if server is not None:
            return server
        if self._settings.url is not None:
            for other in [*self._servers.values()]:
                if not other.dead:
                    raise EngineError(
                        f"vLLM at {self._settings.url} was asked for {other.wanted.name!r}, and {wanted.name!r} has "
                        "another base model; name a server for each",
                        "the server of the model serves another base model",
                    )
                self._retire(other)
        elif not self._has_room():
            return None
        if wanted.merged is not None:
            _log.info("merging the adapter of %s into its base: %s", wanted.name, wanted.merged)
        server = self._servers[wanted.key] = VLLMServer(self._settings, wanted)
        return server

    def _has_room(self) -> bool:
        """Stop the servers that nobody has used for longest, until one more may be started."""
        most = self._settings.max_servers
        while len(self._servers) >= most:
            idle = [server for server in self._servers.values() if not server.leases]
            if not idle:
                break
            self._retire(min(idle, key=lambda server: server.used))
        held = [server for server in self._retired if not server.dead or server.stopping]
        if len(self._servers) + len(held) < most:
            return True
        return not self._wait and not any(server.stopping for server in held)

    def _retire(self, server: VLLMServer) -> Future[None] | None:
        """Let nobody else use a server, and stop it when nobody uses it; with the lock held. Returns its end if now."""
        if self._servers.get(server.wanted.key) is server:
            del self._servers[server.wanted.key]
        if not server.retired:
            server.retired = True
            self._retired.append(server)
        return self._stop_if_idle(server)

    def _stop_if_idle(self, server: VLLMServer) -> Future[None] | None:
        if server.leases or server.stopping or not server.retired:
            return None
        server.stopping = True
        return in_background(partial(self._stop, server), "ftkit-vllm-stop")

    def _stop(self, server: VLLMServer) -> None:
        try:
            server.stop()
        finally:
            with self._lock:
                if server in self._retired:
                    self._retired.remove(server)
                self._advance()

    def _release(self, server: VLLMServer) -> None:
        with self._lock:
            server.leases -= 1
            server.used = time.monotonic()
            if server.dead:
                self._retire(server)
            else:
                self._stop_if_idle(server)
            self._advance()
