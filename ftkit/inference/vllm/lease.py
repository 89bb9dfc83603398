"""The lease that keeps a model served by vLLM."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ftkit.errors import ModelError
from ftkit.inference.answer_grammar import AnswerSpec
from ftkit.inference.constrained import Grammar
from ftkit.inference.vllm.engine import VLLMEngine
from ftkit.inference.vllm.server import ServedAdapter, VLLMServer, Wanted
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.pretrained import Pretrained
from ftkit.schema import Output

__all__ = ["NO_WEIGHTS", "VLLMLease"]

T = TypeVar("T")
NO_WEIGHTS = (
    "vLLM has the model's weights in a process of its own, and answers with texts alone; ftkit's own engine, torch, "
    "loads them"
)
"""Why no function can be called with a model's weights."""


class VLLMLease:
    """A model that is served until :meth:`release`. Usable as a context manager.

    Args:
        server: the server.
        wanted: the model.
        served: the model there, once the server has it.
        tokenizer_lock: held while a tokenizer is used.
        on_release: called once with the server when the lease is released.

    Attributes:
        server: the server that answers.
        wanted: the model's files.
    """

    def __init__(
        self,
        server: VLLMServer,
        wanted: Wanted,
        served: Future[ServedAdapter],
        *,
        tokenizer_lock: threading.RLock,
        on_release: Callable[[VLLMServer], None],
    ) -> None:
        self.server, self.wanted = server, wanted
        self._served, self._tokenizer_lock, self._on_release = served, tokenizer_lock, on_release
        self._released = False

    @property
    def engine(self) -> VLLMEngine:
        """The engine that asks the server."""
        return self.server.engine

    @property
    def adapter(self) -> str | None:
        """Name of the model at the server."""
        return self._served.result().name

    @property
    def chat_template(self) -> ChatTemplate:
        """Renders conversations in the model's tokens."""
        return self._served.result().template

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
            return self._served.result().grammars.get(output)

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
            return self._served.result().grammars.get_answer(spec)

    def call(self, function: Callable[[Pretrained], T]) -> Future[T]:
        """Refuse to call a function with the model's weights.

        Args:
            function: takes the loaded model.

        Returns:
            Nothing: it is refused.

        Raises:
            ModelError: always.
        """
        raise ModelError(NO_WEIGHTS)

    def release(self) -> None:
        """Allow the server to be stopped. Releasing twice does nothing."""
        if not self._released:
            self._released = True
            self._on_release(self.server)

    def __enter__(self) -> VLLMLease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
