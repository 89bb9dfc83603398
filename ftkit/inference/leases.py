"""The protocol of a pool of loaded models: hold a model, and ask its engine.

:class:`~ftkit.inference.model_pool.ModelPool` loads models into this process;
:class:`~ftkit.inference.vllm.pool.VLLMPool` has them served by vLLM.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ftkit.inference.answer_grammar import AnswerSpec
from ftkit.inference.constrained import Grammar
from ftkit.inference.protocol import InferenceEngine
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.pretrained import Pretrained
from ftkit.schema import Output

__all__ = ["Lease", "LeasePool", "LoadedModelStats"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedModelStats:
    """How busy one base model is.

    Attributes:
        model: its name.
        adapters: adapters loaded beside it.
        held_bytes: memory with its adapters and what its caches may take; None if another program has it.
        prefix_cache_bytes: memory that its prefix cache takes; None if another program has it.
        running: answers that are being generated.
        waiting: requests that wait for room in the batch.
    """

    model: str
    adapters: int
    held_bytes: int | None
    prefix_cache_bytes: int | None
    running: int
    waiting: int


class Lease(Protocol):
    """A model that stays loaded until the lease is released."""

    @property
    def engine(self) -> InferenceEngine:
        """The engine that answers."""
        ...

    @property
    def adapter(self) -> str | None:
        """Name of the engine's adapter to ask; None for the base model."""
        ...

    @property
    def chat_template(self) -> ChatTemplate:
        """Renders conversations in the model's tokens."""
        ...

    def grammar(self, output: Output | None) -> Grammar | None:
        """Compile an output schema for the model's tokenizer.

        Args:
            output: the schema; None for free text.

        Returns:
            The grammar; None for text.

        Raises:
            ConfigError: the schema uses what answers cannot be constrained to.
        """
        ...

    def answer_grammar(self, spec: AnswerSpec) -> Grammar:
        """Compile the grammar of answers to a request with tools or a schema.

        Args:
            spec: what the answers may be.

        Returns:
            The grammar.

        Raises:
            ConfigError: a schema uses what calls or answers cannot be constrained to.
        """
        ...

    def call(self, function: Callable[[Pretrained], T]) -> Future[T]:
        """Call a function in the model's thread, between two generated tokens.

        Args:
            function: takes the loaded model.

        Returns:
            Its result.

        Raises:
            ModelError: another program has the weights, see :attr:`LeasePool.no_weights`.
        """
        ...

    def release(self) -> None:
        """Allow the model to be unloaded. Releasing twice does nothing."""
        ...

    def __enter__(self) -> Lease: ...

    def __exit__(self, *error: object) -> None: ...


class LeasePool(Protocol):
    """Loaded models, for any number of threads and event loops."""

    @property
    def tokenizer_thread(self) -> ThreadPoolExecutor:
        """The thread for slow work with tokenizers, so that no event loop waits for it."""
        ...

    @property
    def tokenizer_lock(self) -> AbstractContextManager[Any]:
        """Held while a tokenizer is used, which only one thread may do at a time."""
        ...

    @property
    def no_weights(self) -> str | None:
        """Why :meth:`Lease.call` cannot reach the weights of a model, in one sentence; None if it can."""
        ...

    def lease(self, name: str) -> AbstractContextManager[Lease]:
        """Hold a model, and load it first if needed.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.

        Returns:
            A context manager that yields the model and releases it at its end.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        ...

    async def lease_async(self, name: str) -> Lease:
        """Hold a model without blocking the event loop; the caller releases it.

        Args:
            name: as :func:`~ftkit.modeling.model_source.find_source` takes it.

        Returns:
            The model.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        ...

    def unload(self, name: str) -> None:
        """Unload a model, at once or, if it is in use, when it is released.

        Args:
            name: a name that it was leased by. Nothing happens if it is not loaded.
        """
        ...

    def stats(self) -> list[LoadedModelStats]:
        """Report on each base model that is loaded or being loaded.

        Returns:
            One entry per base model.
        """
        ...

    def close(self) -> None:
        """Unload all models, for good. Requests in progress fail."""
        ...
