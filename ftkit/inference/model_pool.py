"""Models in memory: loaded when they are first needed, unloaded when another one needs the room.

A model folder whose files were replaced is loaded again at the next :meth:`ModelPool.acquire`.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ftkit.errors import ModelError
from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.engine_thread import EngineThread
from ftkit.inference.lease_futures import ask_in_thread, deliver_lease, finish, hold
from ftkit.inference.leases import LoadedModelStats
from ftkit.inference.load_model import load_adapter, load_base
from ftkit.inference.loaded_model import LoadedAdapter, LoadedModel, ModelLease
from ftkit.inference.model_files import FoundModel, find_model
from ftkit.inference.multi_lora import MultiLoRAModel, weight_bytes_in_memory
from ftkit.inference.pool_settings import PoolSettings
from ftkit.modeling.memory_footprint import free_bytes

__all__ = ["ModelPool"]

_log = logging.getLogger("ftkit.inference")


class ModelPool:
    """Loaded models within memory limits, for any number of threads and event loops.

    Args:
        settings: the limits, or a function that is called for them whenever they are needed.

    Attributes:
        tokenizer_thread: the thread for slow work with tokenizers, so that no event loop waits for it.
        tokenizer_lock: held while a tokenizer is used, which only one thread may do at a time.
    """

    def __init__(self, settings: PoolSettings | Callable[[], PoolSettings]) -> None:
        self._settings = settings if callable(settings) else lambda: settings
        self._free_bytes: int | None = None
        self._models: dict[tuple[Any, ...], LoadedModel] = {}
        self._unloading: list[LoadedModel] = []
        self._waiting: deque[tuple[FoundModel, Future[ModelLease]]] = deque()
        self._adapter_numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._loaders = ThreadPoolExecutor(4, thread_name_prefix="ftkit-loader")
        self.tokenizer_thread = ThreadPoolExecutor(1, thread_name_prefix="ftkit-tokenizer")
        self.tokenizer_lock = threading.RLock()

    @property
    def no_weights(self) -> str | None:
        """Why no function can be called with a model's weights: None, as they are here."""
        return None

    def stats(self) -> list[LoadedModelStats]:
        """Report on each base model that is loaded or being loaded.

        Returns:
            One entry per base model.
        """
        with self._lock:
            models = [*self._models.values()]
        found = []
        for model in models:
            engine = model.engine.stats()
            adapters = sum(folder is not None for folder in [*model.adapters])
            found.append(
                LoadedModelStats(
                    model.label, adapters, model.total, engine.prefix_cache_bytes, engine.running, engine.waiting
                )
            )
        return found

    @contextmanager
    def lease(self, name: str, *, scores: bool = False) -> Iterator[ModelLease]:
        """Hold a model in memory, and load it first if needed.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.
            scores: a reward model is wanted.

        Yields:
            The model.

        Raises:
            ModelError: it cannot be found or loaded, or is larger than the memory limit.
        """
        with hold(self.acquire(name, scores=scores)) as lease:
            yield lease

    async def lease_async(self, name: str) -> ModelLease:
        """Hold a model in memory without blocking the event loop; the caller releases it.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.

        Returns:
            The model.

        Raises:
            ModelError: it cannot be found or loaded, or is larger than the memory limit.
        """
        return await ask_in_thread(self.tokenizer_thread, partial(self.acquire, name))

    def acquire(self, name: str, *, scores: bool = False) -> Future[ModelLease]:
        """Ask for a model. Requests are served in their order.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.
            scores: a reward model is wanted.

        Returns:
            The lease, once the model is loaded. It fails with :class:`~ftkit.ModelError` if the model cannot be loaded.

        Raises:
            ModelError: there is no such model, or it is of the other kind.
        """
        wanted = find_model(name, scores=scores, share_bases=self._settings().share_bases)
        if self._free_bytes is None:
            self._free_bytes = free_bytes()
        future: Future[ModelLease] = Future()
        with self._lock:
            self._waiting.append((wanted, future))
            self._advance()
        return future

    def unload(self, name: str) -> None:
        """Unload a model, at once or, if it is in use, when it is released.

        Args:
            name: a name that the model was acquired by. Nothing happens if it is not loaded.
        """
        with self._lock:
            retired = [(key, model) for key, model in self._models.items() if name in model.names]
            for key, model in retired:
                self._retire(key, model)
            self._advance()
        for _, model in retired:
            if not model.leases:
                model.engine.join()

    def close(self) -> None:
        """Unload all models. Requests in progress fail."""
        with self._lock:
            models = [*self._models.values(), *self._unloading]
            self._models.clear()
            waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(ModelError("the models are being unloaded"))
        for model in models:
            model.engine.stop()
        for model in models:
            model.engine.join()
        self.tokenizer_thread.shutdown(wait=False)
        self._loaders.shutdown(wait=False)

    def _memory(self) -> int:
        settings = self._settings()
        if settings.memory_bytes is not None:
            return settings.memory_bytes
        return int((self._free_bytes or 0) * settings.free_share)

    def _cache_bytes(self) -> int:
        settings = self._settings()
        if settings.cache_bytes is not None:
            return settings.cache_bytes
        return int(self._memory() * settings.cache_share)

    def _reserved_bytes(self) -> int:
        """What the caches of one model count for."""
        settings = self._settings()
        return int(self._cache_bytes() * (settings.prefix_share + settings.counts_cache))

    def _advance(self) -> None:
        """Serve the requests that wait, as far as there is room; called with the lock held."""
        while self._waiting:
            wanted, future = self._waiting[0]
            if future.cancelled():
                self._waiting.popleft()
                continue
            try:
                granted = self._grant(wanted)
            except ModelError as error:
                self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
                continue
            if granted is None:
                break
            self._waiting.popleft()
            model, adapter = granted
            lease = ModelLease(model, adapter, tokenizer_lock=self.tokenizer_lock, on_release=self._release)
            adapter.ready.add_done_callback(partial(deliver_lease, future, lease))
        if not self._waiting:
            self._trim()

    def _grant(self, wanted: FoundModel) -> tuple[LoadedModel, LoadedAdapter] | None:
        """Take a lease on a model, which starts to load if needed; None while there is no room."""
        model = self._models.get(wanted.key)
        if model is not None and model.identity != wanted.identity:
            _log.info("the files of %s were replaced", model.label)
            self._retire(wanted.key, model)
            model = None
        adapter = None if model is None else model.adapters.get(wanted.adapter)
        if model is not None and adapter is not None and adapter.identity != wanted.adapter_identity:
            self._remove_adapter(model, wanted.adapter)
            adapter = None
        need = wanted.adapter_size if adapter is None else 0
        if model is None:
            need += wanted.size + self._reserved_bytes()
        if need and not self._make_room(wanted, need, model):
            return None
        if model is None:
            model = self._start_loading(wanted)
        if adapter is None:
            adapter = self._start_loading_adapter(model, wanted)
        model.names.add(wanted.name)
        model.leases += 1
        adapter.leases += 1
        return model, adapter

    def _make_room(self, wanted: FoundModel, need: int, keep: LoadedModel | None) -> bool:
        """Unload least recently used models until ``need`` bytes fit; False if somebody has to wait for that."""
        settings, memory = self._settings(), self._memory()
        own = 0 if keep is None else keep.size
        if need + own > memory and not settings.exceed_when_busy:
            raise ModelError(
                f"{wanted.source.name!r} takes {(need + own) / 2**20:,.0f} MiB with its caches, and all models "
                f"together may take {memory / 2**20:,.0f} MiB; raise the memory limit"
            )
        more = 1 if keep is None else 0
        while self._over(need, more, ended=True):
            if not self._unload_one(keep):
                break
        if not self._over(need, more, ended=False):
            return True
        return settings.exceed_when_busy and not any(self._ending())

    def _over(self, need: int, more: int, *, ended: bool) -> bool:
        """Whether ``need`` bytes in ``more`` models exceed the limits, now or once stopped models have ``ended``."""
        models = [*self._models.values(), *self._unloading]
        gone = [*self._ending()] if ended else []
        most = self._settings().max_models
        held = sum(model.total for model in models) - sum(model.total for model in gone)
        return held + need > self._memory() or (most is not None and len(models) - len(gone) + more > most)

    def _ending(self) -> Iterator[LoadedModel]:
        """Models whose threads are about to end."""
        return (model for model in self._unloading if not model.leases)

    def _trim(self) -> None:
        """Return to the limits after they were exceeded."""
        while self._settings().exceed_when_busy and self._over(0, 0, ended=True):
            if not self._unload_one(None):
                return

    def _unload_one(self, keep: LoadedModel | None) -> bool:
        """Unload the idle model or adapter that was used longest ago; False if there is none."""
        idle: list[tuple[float, int, tuple[Any, ...], Path | None]] = []
        for key, model in self._models.items():
            if not model.leases and model.ready.done() and model is not keep:
                idle.append((model.used, 1, key, None))
            idle += [
                (adapter.used, 0, key, folder)
                for folder, adapter in model.adapters.items()
                if folder is not None and not adapter.leases and adapter.ready.done()
            ]
        if not idle:
            return False
        _, is_model, key, folder = min(idle, key=lambda one: one[:2])
        if is_model:
            self._retire(key, self._models[key])
        else:
            self._remove_adapter(self._models[key], folder)
        return True

    def _remove_adapter(self, model: LoadedModel, folder: Path | None) -> None:
        adapter, multi_lora = model.adapters.pop(folder), model.engine.model
        if isinstance(multi_lora, MultiLoRAModel) and adapter.name is not None:
            # Answers of an adapter whose files were replaced may still be running; it then stays loaded until they end.
            if adapter.leases:
                adapter.identity = ()
                model.adapters[Path(f"{folder}#{adapter.name}")] = adapter
            else:
                model.engine.call(partial(multi_lora.remove_adapter, adapter.name))
        _log.info("unloaded the adapter %s from %s", folder, model.label)

    def _retire(self, key: tuple[Any, ...], model: LoadedModel) -> None:
        """Let nobody else use a model, and unload it when it is idle."""
        if self._models.get(key) is model:
            del self._models[key]
            model.retired = True
            self._unloading.append(model)
            if not model.leases:
                model.engine.stop()
                _log.info("unloaded %s", model.label)

    def _stopped(self, model: LoadedModel) -> None:
        """A model's thread has ended and its memory is free."""
        with self._lock:
            if model in self._unloading:
                self._unloading.remove(model)
            self._advance()

    def _release(self, model: LoadedModel, adapter: LoadedAdapter) -> None:
        with self._lock:
            model.leases -= 1
            adapter.leases -= 1
            model.used = adapter.used = time.monotonic()
            if model.retired and not model.leases:
                model.engine.stop()
                _log.info("unloaded %s", model.label)
            self._advance()

    def _start_loading(self, wanted: FoundModel) -> LoadedModel:
        source, started = wanted.source, time.monotonic()
        label = source.base_name or source.base
        engine = EngineThread(f"ftkit-{label}", on_stopped=lambda: self._stopped(model))
        model = self._models[wanted.key] = LoadedModel(label, engine, 0, wanted.identity)
        model.size = wanted.size + self._reserved_bytes()
        cache, batch = self._cache_bytes(), self._settings().batch
        prefix = int(cache * self._settings().prefix_share)
        settings = BatchSettings(batch.rows, cache, prefix, 0, batch.keep_answers, batch.pass_tokens, batch.step_tokens)

        def done(future: Future[Any]) -> None:
            with self._lock:
                error = future.exception()
                if error is not None:
                    if self._models.get(wanted.key) is model:
                        del self._models[wanted.key]
                        self._unloading.append(model)
                    model.engine.stop()
                else:
                    loaded = future.result()
                    model.size = weight_bytes_in_memory(loaded.model) + self._reserved_bytes()
                    _log.info("loaded %s in %.1f s", label, time.monotonic() - started)
            finish(model.ready, error)
            with self._lock:
                self._advance()

        engine.load(partial(load_base, wanted, settings)).add_done_callback(done)
        return model

    def _start_loading_adapter(self, model: LoadedModel, wanted: FoundModel) -> LoadedAdapter:
        folder = wanted.adapter
        name = None if folder is None else f"adapter{next(self._adapter_numbers)}"
        adapter = LoadedAdapter(name, wanted.adapter_size, wanted.adapter_identity)
        model.adapters[folder] = adapter

        def done(future: Future[None]) -> None:
            error = future.exception()
            if error is not None:
                with self._lock:
                    if model.adapters.get(folder) is adapter:
                        del model.adapters[folder]
            finish(adapter.ready, error)
            with self._lock:
                self._advance()

        self._loaders.submit(load_adapter, model, adapter, wanted).add_done_callback(done)
        return adapter
