"""Models in memory: loaded when they are asked for, unloaded when others need the room."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftkit.errors import ModelError
from ftkit.inference.constrained import Grammar, Grammars
from ftkit.inference.limits import Limits
from ftkit.inference.multi_lora import Mixed, held_bytes, mixes
from ftkit.inference.worker import Worker
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.device import default_device
from ftkit.modeling.load_for_inference import own_precision
from ftkit.modeling.memory_footprint import adapter_bytes, free_bytes, weight_bytes
from ftkit.modeling.model_source import ModelSource, find_source
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.schema import Output

__all__ = ["Base", "Lease", "Pool", "Voice"]

_log = logging.getLogger("ftkit.inference")


@dataclass(slots=True)
class Voice:
    """A model as it is asked: a base by itself, or one adapter on it.

    Attributes:
        name: of the adapter on the base; ``None`` for the base itself.
        size: bytes in memory beyond the base.
    """

    source: ModelSource
    name: str | None
    size: int
    leases: int = 0
    used: float = 0.0
    chat_template: ChatTemplate | None = None
    ready: asyncio.Task[None] | None = None
    _grammars: Grammars | None = None

    def held_to(self, output: Output) -> Grammar | None:
        """The grammar of an output; to be called by one thread."""
        if self.chat_template is None:
            raise RuntimeError("the model is not loaded yet")
        if self._grammars is None:
            self._grammars = Grammars(self.chat_template.tokenizer, self.chat_template.stop_ids)
        return self._grammars.of(output)


@dataclass(slots=True)
class Base:
    """Weights in memory with what stands on them.

    Attributes:
        size: bytes in memory, its caches' limits included, its adapters not.
        voices: by the adapter's folder; ``None`` is the base itself.
    """

    label: str
    worker: Worker
    size: int
    leases: int = 0
    used: float = 0.0
    voices: dict[Path | None, Voice] = field(default_factory=dict)
    ready: asyncio.Task[None] | None = None
    max_length: int | None = None

    @property
    def whole(self) -> int:
        """Bytes with its adapters."""
        return self.size + sum(voice.size for voice in self.voices.values())


@dataclass(frozen=True, slots=True)
class Lease:
    """A model that stays in memory while this is held."""

    base: Base
    voice: Voice

    @property
    def chat_template(self) -> ChatTemplate:
        """Writes conversations in the model's tokens."""
        if self.voice.chat_template is None:
            raise RuntimeError("the model is not loaded yet")
        return self.voice.chat_template


class Pool:
    """The models in memory. To be used from one event loop; loading happens in the threads of the models.

    Args:
        limits: of memory and batches.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._memory = limits.memory_bytes
        self._bases: dict[tuple[Any, ...], Base] = {}
        self._names = itertools.count(1)
        # Who asks for a model passes here one by one, so that who needs room is not overtaken for ever.
        self._door = asyncio.Lock()
        self._freed = asyncio.Event()
        # One thread for all that tokenizers do outside of the models' threads.
        self.scribe = ThreadPoolExecutor(1, thread_name_prefix="ftkit-scribe")

    @property
    def bases(self) -> list[Base]:
        """What is loaded, or being loaded."""
        return [*self._bases.values()]

    @property
    def held_bytes(self) -> int:
        """Bytes that loaded models take, with what is set aside for their caches."""
        return sum(base.whole for base in self._bases.values())

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[Lease]:
        """Hold the model ``name``, and load it first if needed (see ``find_source``).

        Waits while other models are in use that must be unloaded for it.

        Raises:
            ModelError: it cannot be found or loaded, or is larger than the memory limit.
        """
        loop = asyncio.get_running_loop()
        source = await loop.run_in_executor(self.scribe, find_source, name)
        if source.scores:
            raise ModelError(f"{source.name!r} is a reward model: it scores answers and writes none")
        mixed = await loop.run_in_executor(self.scribe, mixes, source)
        async with self._door:
            base, voice = await self._entered(source, mixed)
        try:
            for ready in (base.ready, voice.ready):
                if ready is not None:
                    await asyncio.shield(ready)
            yield Lease(base, voice)
        finally:
            now = time.monotonic()
            for one in (base, voice):
                one.leases -= 1
                one.used = now
            self._freed.set()

    async def close(self) -> None:
        """Unload everything. Answers under way fail."""
        workers = [base.worker for base in self._bases.values()]
        self._bases.clear()
        for worker in workers:
            worker.stop()
        for worker in workers:
            await asyncio.to_thread(worker.join)
        self.scribe.shutdown(wait=False)

    async def _entered(self, source: ModelSource, mixed: bool) -> tuple[Base, Voice]:
        """The base and the voice on it with a lease on each; what is not there begins to load."""
        precision = own_precision(source, default_device())
        where = Path(source.base)
        weights_at = str(where.resolve()) if where.is_dir() else source.base
        key: tuple[Any, ...] = (weights_at, source.quantisation, precision)
        folder = source.adapter if mixed else None
        if source.adapter is not None and not mixed:
            key = (source.adapter,)
        base = self._bases.get(key)
        voice = None if base is None else base.voices.get(folder)
        need = 0 if voice is not None or folder is None else adapter_bytes(folder)
        if base is None:
            weights = await asyncio.to_thread(weight_bytes, source)
            if self._memory is None:
                self._memory = await asyncio.to_thread(free_bytes) * 3 // 4
            await self._make_room(source, need + weights + 2 * self._cache_bytes(), keep=None)
            base = self._bases[key] = Base(
                source.base_name or source.base, Worker(f"ftkit-{source.base_name}"), weights
            )
            base.size += 2 * self._cache_bytes()
            base.ready = self._begun(self._load_base(key, base, source, mixed))
        elif voice is None:
            await self._make_room(source, need, keep=base)
        base.leases += 1
        voice = base.voices.get(folder)
        if voice is None:
            name = None if folder is None else f"adapter{next(self._names)}"
            voice = base.voices[folder] = Voice(source, name, need)
            voice.ready = self._begun(self._load_voice(base, folder, voice))
        voice.leases += 1
        return base, voice

    def _cache_bytes(self) -> int:
        if self._limits.cache_bytes is not None:
            return self._limits.cache_bytes
        return (self._memory or 0) // 16

    @staticmethod
    def _begun(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        # Whoever waits for it gets the error; that nobody may be left is no fault.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _load_base(self, key: tuple[Any, ...], base: Base, source: ModelSource, mixed: bool) -> None:
        plain = ModelSource(source.base_name, source.base, base_name=source.base_name)
        began = time.monotonic()
        try:
            loaded = await asyncio.wrap_future(
                base.worker.load(
                    lambda: Mixed(plain, quantised_as=source) if mixed else Mixed(source),
                    rows=self._limits.batch,
                    cache_bytes=self._cache_bytes(),
                )
            )
        except BaseException:
            if self._bases.get(key) is base:
                del self._bases[key]
            base.worker.stop()
            raise
        finally:
            self._freed.set()
        base.size = held_bytes(loaded.model) + 2 * self._cache_bytes()
        base.max_length = loaded.pretrained.max_length
        _log.info("loaded %s in %.1f s", base.label, time.monotonic() - began)

    async def _load_voice(self, base: Base, folder: Path | None, voice: Voice) -> None:
        try:
            if base.ready is not None:
                await asyncio.shield(base.ready)
            mixed = base.worker.mixed
            if mixed is None:
                raise ModelError(f"{base.label!r} was unloaded")
            if folder is None or voice.name is None:
                voice.chat_template = mixed.pretrained.chat_template
            else:
                name = voice.name
                loop = asyncio.get_running_loop()
                voice.chat_template = await loop.run_in_executor(self.scribe, load_chat_template, voice.source)
                await asyncio.wrap_future(base.worker.call(lambda: mixed.add(name, folder)))
                _log.info("put the adapter %s on %s", folder, base.label)
        except BaseException:
            base.voices.pop(folder, None)
            raise
        finally:
            self._freed.set()

    async def _make_room(self, source: ModelSource, need: int, keep: Base | None) -> None:
        """Unload what was not used for longest, and wait while all is in use, until ``need`` bytes are free."""
        memory = self._memory or 0
        own = 0 if keep is None else keep.size
        if need + own > memory:
            raise ModelError(
                f"{source.name!r} takes {(need + own) / 2**20:,.0f} MiB with its caches, and all models together may "
                f"take {memory / 2**20:,.0f} MiB; raise the memory limit"
            )
        if keep is not None:
            keep.leases += 1
        try:
            while self.held_bytes + need > memory:
                self._freed.clear()
                if not await self._unload_one():
                    await self._freed.wait()
        finally:
            if keep is not None:
                keep.leases -= 1

    async def _unload_one(self) -> bool:
        """Unload the loaded adapter or base that nobody uses and that was used longest ago; whether there was one."""
        idle: list[tuple[float, int, tuple[Any, ...], Path | None]] = []
        for key, base in self._bases.items():
            if not base.leases and _loaded(base):
                idle.append((base.used, 1, key, None))
            idle += [
                (voice.used, 0, key, folder)
                for folder, voice in base.voices.items()
                if folder is not None and not voice.leases and _loaded(voice)
            ]
        if not idle:
            return False
        _, whole, key, folder = min(idle, key=lambda one: one[:2])
        base = self._bases[key]
        if whole:
            del self._bases[key]
            base.worker.stop()
            await asyncio.to_thread(base.worker.join)
            _log.info("unloaded %s", base.label)
        else:
            voice, mixed = base.voices.pop(folder), base.worker.mixed
            if mixed is not None and voice.name is not None:
                name = voice.name
                base.worker.call(lambda: mixed.remove(name))
            _log.info("took the adapter %s off %s", folder, base.label)
        return True


def _loaded(one: Base | Voice) -> bool:
    return one.ready is None or one.ready.done()
