"""A model in memory with the adapters beside it, and the lease that keeps it there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ftkit.errors import ModelError
from ftkit.inference.answer_grammar import AnswerSpec
from ftkit.inference.constrained import Grammar, GrammarCache
from ftkit.inference.engine_thread import EngineThread
from ftkit.inference.model_files import Identity
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.pretrained import Pretrained
from ftkit.schema import Output

__all__ = ["LoadedAdapter", "LoadedModel", "ModelLease"]

T = TypeVar("T")


@dataclass(slots=True)
class LoadedAdapter:
    """A model by itself, or an adapter beside it.

    Attributes:
        name: name of the adapter in the engine; None for the model by itself.
        size: bytes in memory.
        identity: identity of the files that were loaded.
        leases: how many hold it.
        used: when it was last released, in seconds of the monotonic clock.
        chat_template: renders conversations; set when it is ready.
        ready: finished when it is loaded.
        grammars: compiled output schemas.
    """

    name: str | None
    size: int
    identity: Identity
    leases: int = 0
    used: float = 0.0
    chat_template: ChatTemplate | None = None
    ready: Future[None] = field(default_factory=Future)
    grammars: GrammarCache | None = None


@dataclass(slots=True)
class LoadedModel:
    """Weights in memory and the thread that owns them.

    Attributes:
        label: the base model's name.
        engine: the thread that owns the weights.
        size: bytes of the weights and what counts for the caches, without adapters.
        identity: identity of the files that were loaded.
        names: the names that it was asked for by.
        leases: how many hold it.
        used: when it was last released, in seconds of the monotonic clock.
        retired: whether nobody may get it any more.
        adapters: by folder; None is the model itself.
        ready: finished when the weights are loaded.
    """

    label: str
    engine: EngineThread
    size: int
    identity: Identity
    names: set[str] = field(default_factory=set)
    leases: int = 0
    used: float = 0.0
    retired: bool = False
    adapters: dict[Path | None, LoadedAdapter] = field(default_factory=dict)
    ready: Future[None] = field(default_factory=Future)

    @property
    def total(self) -> int:
        """Bytes of the model with its caches and adapters."""
        return self.size + sum(adapter.size for adapter in self.adapters.values())


class ModelLease:
    """A model that stays in memory until :meth:`release`. Usable as a context manager.

    Args:
        model: the model.
        adapter: the base itself, or an adapter beside it.
        tokenizer_lock: held while a tokenizer is used.
        on_release: called once when the lease is released.

    Attributes:
        engine: the engine that answers.
        adapter: name of the engine's adapter to ask; None for the base model.
    """

    def __init__(
        self,
        model: LoadedModel,
        adapter: LoadedAdapter,
        *,
        tokenizer_lock: threading.RLock,
        on_release: Callable[[LoadedModel, LoadedAdapter], None],
    ) -> None:
        self._model, self._adapter = model, adapter
        self._tokenizer_lock, self._on_release = tokenizer_lock, on_release
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
        with self._tokenizer_lock:
            return self._grammars.get(output)

    def answer_grammar(self, spec: AnswerSpec) -> Grammar:
        """Compile the grammar of answers to a request with tools or a schema.

        Args:
            spec: what the answers may be.

        Returns:
            The grammar.

        Raises:
            ConfigError: a schema uses what calls or answers cannot be constrained to.
        """
        with self._tokenizer_lock:
            return self._grammars.get_answer(spec)

    @property
    def _grammars(self) -> GrammarCache:
        if self._adapter.grammars is None:
            self._adapter.grammars = GrammarCache(self.chat_template.tokenizer, self.chat_template.stop_ids)
        return self._adapter.grammars

    def release(self) -> None:
        """Allow the model to be unloaded. Releasing twice does nothing."""
        if not self._released:
            self._released = True
            self._on_release(self._model, self._adapter)

    def __enter__(self) -> ModelLease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
