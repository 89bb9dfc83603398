"""The models that vLLM serves for this process, each held by leases."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ftkit.errors import ModelError
from ftkit.inference.answer_grammar import AnswerSpec
from ftkit.inference.constrained import Grammar
from ftkit.inference.model_files import find_model
from ftkit.inference.vllm.adapters import why_merged
from ftkit.inference.vllm.engine import VLLMEngine
from ftkit.inference.vllm.server import ServedAdapter, VLLMServer, Wanted
from ftkit.inference.vllm.settings import VLLMSettings
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.device import default_device
from ftkit.modeling.load_for_inference import own_precision
from ftkit.schema import Output

__all__ = ["VLLMLease", "VLLMPool", "vllm_pool"]

_log = logging.getLogger("ftkit.inference")
_pools: dict[VLLMSettings, VLLMPool] = {}
_pools_lock = threading.Lock()


def vllm_pool(settings: VLLMSettings) -> VLLMPool:
    """Return the pool of this process for some settings.

    Args:
        settings: how servers are started, or where one is.

    Returns:
        The pool; the same one for equal settings.
    """
    with _pools_lock:
        return _pools.setdefault(settings, VLLMPool(settings))


@atexit.register
def _stop_at_exit() -> None:
    for pool in list(_pools.values()):
        pool.close()


class VLLMPool:
    """The servers of one kind of settings: one for each base model, with several adapters beside it.

    A server takes most of a GPU's memory, so those that nobody uses are stopped before another one is started.

    Args:
        settings: how servers are started, or where one is.

    Attributes:
        tokenizer_thread: the thread for slow work with tokenizers, so that no event loop waits for it.
        tokenizer_lock: held while a tokenizer is used, which only one thread may do at a time.
    """

    def __init__(self, settings: VLLMSettings) -> None:
        self._settings, self._owner = settings, os.getpid()
        self._servers: dict[tuple[object, ...], VLLMServer] = {}
        self._lock = threading.RLock()
        self.tokenizer_thread = ThreadPoolExecutor(1, thread_name_prefix="ftkit-tokenizer")
        self.tokenizer_lock = threading.RLock()

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
        with self._acquire(name) as lease:
            yield lease

    async def lease_async(self, name: str) -> VLLMLease:
        """Hold a model without blocking the event loop; the caller releases it.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.

        Returns:
            The model.

        Raises:
            ModelError: it cannot be found or served.
            CancelledError: the waiting was cancelled; the model is released when it is there.
        """
        acquiring = asyncio.ensure_future(asyncio.to_thread(self._acquire, name))
        try:
            return await asyncio.shield(acquiring)
        except asyncio.CancelledError:
            acquiring.add_done_callback(_release_unwanted)
            raise

    def unload(self, name: str) -> None:
        """Stop the server of a model, at once or, if it is in use, when it is released.

        Args:
            name: a name that it was leased by. Nothing happens if it is not served.
        """
        with self._lock:
            found = [(key, server) for key, server in self._servers.items() if name in server.names]
        self._retire_all(found)

    def close(self) -> None:
        """Stop all servers. Answers in progress fail."""
        if os.getpid() != self._owner:  # a process that was forked from the one that has started them
            return
        with self._lock:
            servers = [*self._servers.values()]
            self._servers.clear()
        for server in servers:
            server.retired = True
            server.stop()

    def _wanted(self, name: str) -> Wanted:
        found = find_model(name, scores=False, share_bases=True)
        source = found.source
        precision = own_precision(source, default_device())
        merged = why_merged(source, self._settings.max_lora_rank)
        base = Path(source.base)
        key: tuple[object, ...] = (str(base.resolve()) if base.is_dir() else source.base, precision)
        if merged is None:
            return Wanted(name, source, key, found.identity, source.adapter, found.adapter_identity, precision, None)
        if self._settings.url is not None:
            raise ModelError(
                f"{name!r} cannot be served at {self._settings.url} beside its base: {merged}. Export it merged "
                "(ft.export), let vLLM serve that folder, and name it"
            )
        identity = (*found.identity, *found.adapter_identity)
        return Wanted(name, source, (*key, source.adapter), identity, None, (), precision, merged)

    def _acquire(self, name: str) -> VLLMLease:
        wanted = self._wanted(name)
        replaced: list[VLLMServer] = []
        with self._lock:
            server = self._servers.get(wanted.key)
            if server is not None and (server.dead or server.wanted.identity != wanted.identity):
                del self._servers[wanted.key]
                server.retired = True
                replaced = [server] if not server.leases else []
                server = None
            if server is None:
                server = self._servers[wanted.key] = VLLMServer(self._settings, wanted)
            server.leases += 1
            server.names.add(name)
        try:
            for other in replaced:
                other.stop()
            if not server.started and self._settings.url is None:
                with self._lock:
                    idle = [(key, other) for key, other in self._servers.items() if not other.leases]
                self._retire_all(idle)
            with server.lock:
                if not server.started and wanted.merged is not None:
                    _log.info("merging the adapter of %s into its base: %s", name, wanted.merged)
                server.start()
                return VLLMLease(server, wanted, server.adapter(wanted), self)
        except BaseException:
            self._release(server)
            raise

    def _release(self, server: VLLMServer) -> None:
        with self._lock:
            server.leases -= 1
            over = not server.leases and (server.retired or not server.started)
            found = [(key, other) for key, other in self._servers.items() if other is server]
        if over:
            self._retire_all(found)
            server.stop()

    def _retire_all(self, found: Sequence[tuple[tuple[object, ...], VLLMServer]]) -> None:
        """Let nobody else use some servers, and stop them: the last one who uses one stops it."""
        idle = []
        with self._lock:
            for key, server in found:
                if self._servers.get(key) is server:
                    del self._servers[key]
                server.retired = True
                if not server.leases:
                    idle.append(server)
        for server in idle:
            server.stop()


class VLLMLease:
    """A model that is served until :meth:`release`. Usable as a context manager.

    Args:
        server: the server.
        wanted: the model.
        served: the model there.
        pool: where all are from.

    Attributes:
        server: the server that answers.
        wanted: the model's files.
        engine: the engine that asks the server.
    """

    def __init__(self, server: VLLMServer, wanted: Wanted, served: ServedAdapter, pool: VLLMPool) -> None:
        self.server, self.wanted = server, wanted
        self._served, self._pool = served, pool
        self._released = False
        self.engine: VLLMEngine = server.engine

    @property
    def adapter(self) -> str | None:
        """Name of the model at the server."""
        return self._served.name

    @property
    def chat_template(self) -> ChatTemplate:
        """Renders conversations in the model's tokens."""
        return self._served.template

    def grammar(self, output: Output | None) -> Grammar | None:
        """Compile an output schema for the model's tokenizer.

        Args:
            output: the schema; None for free text.

        Returns:
            The grammar; None for text.

        Raises:
            ConfigError: the schema uses what answers cannot be constrained to.
        """
        with self._pool.tokenizer_lock:
            return self._served.grammars.get(output)

    def answer_grammar(self, spec: AnswerSpec) -> Grammar:
        """Compile the grammar of answers to a request with tools or a schema.

        Args:
            spec: what the answers may be.

        Returns:
            The grammar.

        Raises:
            ConfigError: a schema uses what calls or answers cannot be constrained to.
        """
        with self._pool.tokenizer_lock:
            return self._served.grammars.get_answer(spec)

    def release(self) -> None:
        """Allow the server to be stopped. Releasing twice does nothing."""
        if not self._released:
            self._released = True
            self._pool._release(self.server)

    def __enter__(self) -> VLLMLease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _release_unwanted(acquiring: asyncio.Future[VLLMLease]) -> None:
    if not acquiring.cancelled() and acquiring.exception() is None:
        acquiring.result().release()
