"""Models in memory: loaded when they are first needed, unloaded when another one needs the room.

A model folder whose files were replaced is loaded again at the next :meth:`ModelPool.acquire`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ftkit.errors import ModelError
from ftkit.inference.constrained import Grammar, GrammarCache
from ftkit.inference.continuous_batching import BatchSettings
from ftkit.inference.engine import TorchEngine
from ftkit.inference.engine_thread import EngineThread
from ftkit.inference.limits import MAX_BATCH_SIZE, PASS_TOKENS, STEP_TOKENS, loaded_model_limits
from ftkit.inference.multi_lora import MultiLoRAModel, supports_multi_lora, weight_bytes_in_memory
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.device import default_device
from ftkit.modeling.embedded_model import expand_embedded, is_embedded
from ftkit.modeling.load_for_inference import load_for_scores, own_precision
from ftkit.modeling.memory_footprint import adapter_bytes, free_bytes, weight_bytes
from ftkit.modeling.model_source import ModelSource, find_source
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.schema import Output

__all__ = ["LoadedModelStats", "ModelLease", "ModelPool", "PoolSettings", "shared_pool"]

_log = logging.getLogger("ftkit.inference")
T = TypeVar("T")

_load_lock = threading.Lock()
"""transformers patches torch while it loads a model: two loads at once leave weights out, or tie them wrongly."""

_MODEL_FILES = (
    "*.safetensors", "*.bin", "*.gguf", "*.jinja", "*.model", "config.json", "*_config.json", "*.index.json",
    "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "ftkit.json",
)  # fmt: skip

Identity = tuple[tuple[str, int, int, int], ...]
"""Name, time of change in ns, size and inode of each file of a model."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What a pool may take, and how it loads models.

    Attributes:
        memory_bytes: memory of all models; None takes ``free_share`` of what is free when the first one is loaded.
        free_share: see ``memory_bytes``.
        max_models: number of base models; None for any number.
        exceed_when_busy: load a model although all others are in use and there is no room. Otherwise it waits, and a
            model that is larger than ``memory_bytes`` is refused.
        share_bases: load LoRA adapters beside one base model, which saves memory. Otherwise each adapter is merged into
            a base of its own where that changes nothing, which is faster.
        cache_bytes: memory for keys and values of the running answers of a model; None takes ``cache_share`` of the
            memory.
        cache_share: see ``cache_bytes``.
        prefix_share: memory of a model's prefix cache, as a multiple of ``cache_bytes``.
        counts_cache: whether ``cache_bytes`` counts as taken although nothing is running.
        batch: size of the batches; its cache sizes are ignored.
    """

    memory_bytes: int | None = None
    free_share: float = 0.75
    max_models: int | None = None
    exceed_when_busy: bool = False
    share_bases: bool = True
    cache_bytes: int | None = None
    cache_share: float = 1 / 16
    prefix_share: float = 1.0
    counts_cache: bool = True
    batch: BatchSettings = field(default_factory=BatchSettings)


@dataclass(frozen=True, slots=True)
class LoadedModelStats:
    """How busy one base model is.

    Attributes:
        model: its name.
        adapters: adapters loaded beside it.
        held_bytes: memory with its adapters and what its caches may take.
        prefix_cache_bytes: memory that its prefix cache takes.
        running: answers that are being generated.
        waiting: requests that wait for room in the batch.
    """

    model: str
    adapters: int
    held_bytes: int
    prefix_cache_bytes: int
    running: int
    waiting: int


@dataclass(slots=True)
class _LoadedAdapter:
    """A base model by itself (``name`` None), or an adapter beside it."""

    name: str | None
    size: int
    identity: Identity
    leases: int = 0
    used: float = 0.0
    chat_template: ChatTemplate | None = None
    ready: Future[None] = field(default_factory=Future)
    grammars: GrammarCache | None = None


@dataclass(slots=True)
class _LoadedModel:
    """Weights in memory and the thread that owns them. ``size`` includes its caches, not its adapters."""

    label: str
    engine: EngineThread
    size: int
    identity: Identity
    names: set[str] = field(default_factory=set)
    leases: int = 0
    used: float = 0.0
    retired: bool = False
    adapters: dict[Path | None, _LoadedAdapter] = field(default_factory=dict)
    ready: Future[None] = field(default_factory=Future)

    @property
    def total(self) -> int:
        return self.size + sum(adapter.size for adapter in self.adapters.values())


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A model that somebody asked for, as found on disk."""

    name: str
    source: ModelSource
    key: tuple[Any, ...]
    adapter: Path | None
    identity: Identity
    adapter_identity: Identity
    size: int
    adapter_size: int


class ModelLease:
    """A model that stays in memory until :meth:`release`. Usable as a context manager.

    Attributes:
        engine: the engine that answers.
        adapter: name of the engine's adapter to ask; None for the base model.
    """

    def __init__(self, pool: ModelPool, model: _LoadedModel, adapter: _LoadedAdapter) -> None:
        self._pool, self._model, self._adapter = pool, model, adapter
        self._released = False
        self.engine = model.engine
        self.adapter = adapter.name

    @property
    def chat_template(self) -> ChatTemplate:
        """Renders conversations in the model's tokens."""
        assert self._adapter.chat_template is not None  # noqa: S101  (set before the lease is granted)
        return self._adapter.chat_template

    @property
    def pretrained(self) -> Pretrained:
        """The loaded model; touch its weights within :meth:`call` only."""
        model = self.engine.model
        if model is None:
            raise ModelError(f"{self._model.label!r} was unloaded")
        loaded: Pretrained = model.pretrained if isinstance(model, MultiLoRAModel) else model
        return loaded

    def call(self, function: Callable[[Pretrained], T]) -> Future[T]:
        """Call a function in the model's thread, between two generated tokens.

        Args:
            function: takes the loaded model.

        Returns:
            Its result.
        """
        return self.engine.call(lambda: function(self.pretrained))

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
            if self._adapter.grammars is None:
                self._adapter.grammars = GrammarCache(self.chat_template.tokenizer, self.chat_template.stop_ids)
            return self._adapter.grammars.get(output)

    def release(self) -> None:
        """Allow the model to be unloaded. Releasing twice does nothing."""
        if not self._released:
            self._released = True
            self._pool._release(self._model, self._adapter)

    def __enter__(self) -> ModelLease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


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
        self._models: dict[tuple[Any, ...], _LoadedModel] = {}
        self._unloading: list[_LoadedModel] = []
        self._waiting: deque[tuple[_Wanted, Future[ModelLease]]] = deque()
        self._sizes: dict[tuple[Any, ...], int] = {}
        self._adapter_numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._loaders = ThreadPoolExecutor(4, thread_name_prefix="ftkit-loader")
        self.tokenizer_thread = ThreadPoolExecutor(1, thread_name_prefix="ftkit-tokenizer")
        self.tokenizer_lock = threading.RLock()

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
        future = self.acquire(name, scores=scores)
        try:
            lease = future.result()
        except BaseException:
            _release_when_granted(future)
            raise
        with lease:
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
        loop = asyncio.get_running_loop()
        future = await loop.run_in_executor(self.tokenizer_thread, self.acquire, name)
        try:
            return await asyncio.wrap_future(future)
        except BaseException:
            _release_when_granted(future)
            raise

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
        wanted = self._find(name, scores=scores)
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

    def _find(self, name: str, *, scores: bool) -> _Wanted:
        """Look a model up on disk."""
        source = find_source(name)
        if source.scores and not scores:
            raise ModelError(f"{source.name!r} is a reward model: it scores answers (ft.Scorer) and writes none")
        if is_embedded(source.base):
            expand_embedded()
        shared = not scores and self._settings().share_bases and supports_multi_lora(source)
        base = Path(source.base)
        weights: tuple[Any, ...] = (
            str(base.resolve()) if base.is_dir() else source.base,
            source.quantisation,
            own_precision(source, default_device()),
        )
        adapter = source.adapter if shared else None
        key = (scores, *weights) if shared or source.adapter is None else (scores, *weights, source.adapter)
        identity = _identity(base)
        if source.adapter is not None and not shared:
            identity += _identity(source.adapter)
        size = self._sizes.get((key, identity))
        if size is None:
            size = self._sizes[key, identity] = weight_bytes(source)
        if self._free_bytes is None:
            self._free_bytes = free_bytes()
        return _Wanted(
            name,
            source,
            key,
            adapter,
            identity,
            () if adapter is None else _identity(adapter),
            size,
            0 if adapter is None else adapter_bytes(adapter),
        )

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
            lease = ModelLease(self, model, adapter)
            adapter.ready.add_done_callback(partial(_deliver, future, lease))
        if not self._waiting:
            self._trim()

    def _grant(self, wanted: _Wanted) -> tuple[_LoadedModel, _LoadedAdapter] | None:
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

    def _make_room(self, wanted: _Wanted, need: int, keep: _LoadedModel | None) -> bool:
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

    def _ending(self) -> Iterator[_LoadedModel]:
        """Models whose threads are about to end."""
        return (model for model in self._unloading if not model.leases)

    def _trim(self) -> None:
        """Return to the limits after they were exceeded."""
        while self._settings().exceed_when_busy and self._over(0, 0, ended=True):
            if not self._unload_one(None):
                return

    def _unload_one(self, keep: _LoadedModel | None) -> bool:
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

    def _remove_adapter(self, model: _LoadedModel, folder: Path | None) -> None:
        adapter, multi_lora = model.adapters.pop(folder), model.engine.model
        if isinstance(multi_lora, MultiLoRAModel) and adapter.name is not None:
            # Answers of an adapter whose files were replaced may still be running; it then stays loaded until they end.
            if adapter.leases:
                adapter.identity = ()
                model.adapters[Path(f"{folder}#{adapter.name}")] = adapter
            else:
                model.engine.call(partial(multi_lora.remove_adapter, adapter.name))
        _log.info("unloaded the adapter %s from %s", folder, model.label)

    def _retire(self, key: tuple[Any, ...], model: _LoadedModel) -> None:
        """Let nobody else use a model, and unload it when it is idle."""
        if self._models.get(key) is model:
            del self._models[key]
            model.retired = True
            self._unloading.append(model)
            if not model.leases:
                model.engine.stop()
                _log.info("unloaded %s", model.label)

    def _stopped(self, model: _LoadedModel) -> None:
        """A model's thread has ended and its memory is free."""
        with self._lock:
            if model in self._unloading:
                self._unloading.remove(model)
            self._advance()

    def _release(self, model: _LoadedModel, adapter: _LoadedAdapter) -> None:
        with self._lock:
            model.leases -= 1
            adapter.leases -= 1
            model.used = adapter.used = time.monotonic()
            if model.retired and not model.leases:
                model.engine.stop()
                _log.info("unloaded %s", model.label)
            self._advance()

    def _start_loading(self, wanted: _Wanted) -> _LoadedModel:
        source, started = wanted.source, time.monotonic()
        label = source.base_name or source.base
        engine = EngineThread(f"ftkit-{label}", on_stopped=lambda: self._stopped(model))
        model = self._models[wanted.key] = _LoadedModel(label, engine, 0, wanted.identity)
        model.size = wanted.size + self._reserved_bytes()
        cache = self._cache_bytes()
        prefix = int(cache * self._settings().prefix_share)
        batch = self._settings().batch
        settings = BatchSettings(batch.rows, cache, prefix, 0, batch.keep_answers, batch.pass_tokens, batch.step_tokens)
        shared, scores = wanted.adapter is not None, wanted.key[0]

        def load() -> Any:
            with _load_lock:
                if scores:
                    return load_for_scores(wanted.name)
                plain = ModelSource(source.base_name, source.base, base_name=source.base_name)
                loaded = MultiLoRAModel.load(plain, quantised_as=source) if shared else MultiLoRAModel.load(source)
                return TorchEngine(loaded, settings)

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
            _finish(model.ready, error)
            with self._lock:
                self._advance()

        engine.load(load).add_done_callback(done)
        return model

    def _start_loading_adapter(self, model: _LoadedModel, wanted: _Wanted) -> _LoadedAdapter:
        folder = wanted.adapter
        name = None if folder is None else f"adapter{next(self._adapter_numbers)}"
        adapter = _LoadedAdapter(name, wanted.adapter_size, wanted.adapter_identity)
        model.adapters[folder] = adapter

        def load() -> None:
            model.ready.result()
            if name is None or folder is None:
                loaded = model.engine.model
                if loaded is None:
                    raise ModelError(f"{model.label!r} was unloaded")
                adapter.chat_template = (
                    loaded.pretrained if isinstance(loaded, MultiLoRAModel) else loaded
                ).chat_template
                return
            adapter.chat_template = load_chat_template(wanted.source)
            multi_lora: MultiLoRAModel = model.engine.model

            def add() -> None:
                with _load_lock:
                    multi_lora.add_adapter(name, folder)

            model.engine.call(add).result()
            _log.info("loaded the adapter %s beside %s", folder, model.label)

        def done(future: Future[None]) -> None:
            error = future.exception()
            if error is not None:
                with self._lock:
                    if model.adapters.get(folder) is adapter:
                        del model.adapters[folder]
            _finish(adapter.ready, error)
            with self._lock:
                self._advance()

        self._loaders.submit(load).add_done_callback(done)
        return adapter


def _identity(folder: Path) -> Identity:
    """Say which files a model folder holds; empty for a hub id."""
    try:
        entries = [*os.scandir(folder)]
    except OSError:
        return ()
    found = []
    for entry in entries:
        if any(fnmatch(entry.name, pattern) for pattern in _MODEL_FILES):
            stat = os.stat(entry.path)  # not entry.stat(), which need not follow a link anew
            found.append((entry.name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(sorted(found))


def _deliver(future: Future[ModelLease], lease: ModelLease, ready: Future[None]) -> None:
    """Give a lease to who asked for it, or the error that kept the model from loading."""
    error = ready.exception()
    if error is not None:
        lease.release()
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
    elif future.set_running_or_notify_cancel():
        future.set_result(lease)
    else:
        lease.release()


def _release_when_granted(future: Future[ModelLease]) -> None:
    """Give up waiting for a lease."""
    future.cancel()
    future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else done.result().release())


def _finish(future: Future[None], error: BaseException | None) -> None:
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


_shared: ModelPool | None = None
_shared_lock = threading.Lock()


def shared_pool() -> ModelPool:
    """Return the pool of this process, which :class:`ftkit.Model` and :class:`ftkit.Scorer` use.

    Its limits are :func:`ftkit.inference.limits.loaded_model_limits`.

    Returns:
        The pool, made at the first call.
    """
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = ModelPool(_shared_settings)
        return _shared


def _shared_settings() -> PoolSettings:
    limits = loaded_model_limits()
    return PoolSettings(
        limits.max_bytes,
        free_share=0.5,
        max_models=limits.max_models,
        exceed_when_busy=True,
        share_bases=False,
        cache_share=1 / 3,
        prefix_share=1 / 4,
        counts_cache=False,
        batch=BatchSettings(rows=MAX_BATCH_SIZE, pass_tokens=PASS_TOKENS, step_tokens=STEP_TOKENS),
    )
