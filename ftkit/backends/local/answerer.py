"""Answers from a model in this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftkit.backends.answer import OnAnswer, Request
from ftkit.errors import ModelError
from ftkit.inference.constrained import Grammars
from ftkit.inference.embeddings import embeddings
from ftkit.inference.generation import Generated, generate
from ftkit.inference.likelihood import divergences, text_losses
from ftkit.modeling.device import describe_machine, free_memory_bytes, torch_dtype
from ftkit.modeling.load_for_inference import load_served
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.tool_calls import parse_tool_calls
from ftkit.results.answer import Answer, Sampling
from ftkit.task import Message
from ftkit.training.artifact import versions

__all__ = ["LocalAnswerer"]


class LocalAnswerer:
    """A model on this machine, loaded at the first question and kept. Questions from several threads take turns.

    Args:
        name: see :func:`ftkit.modeling.pretrained.find_source`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loaded: Pretrained | None = None
        self._grammars: Grammars | None = None

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """See :class:`~ftkit.backends.Answerer`.

        Raises:
            ModelError: the model cannot be loaded, or a conversation is longer than it takes.
        """
        with self._lock:
            pretrained = self._model()
            chat_template = pretrained.chat_template
            prompts = [chat_template.encode_prompt(request.messages, request.tools) for request in requests]
            limit = pretrained.max_length
            for number, prompt in enumerate(prompts):
                if limit is not None and len(prompt) + sampling.max_output_tokens > limit:
                    raise ModelError(
                        f"request {number + 1} has {len(prompt)} tokens; with max_output_tokens="
                        f"{sampling.max_output_tokens} that is above the model's {limit}"
                    )

            def answer(number: int, one: Generated) -> Answer:
                text, calls = parse_tool_calls(chat_template, prompts[number], one.ids, requests[number].tools)
                return Answer(
                    text=text,
                    finish_reason="tool_calls" if calls else "stop" if one.stopped else "length",
                    input_tokens=len(prompts[number]),
                    output_tokens=len(one.ids),
                    cached_tokens=one.cached,
                    latency_s=one.seconds,
                    tool_calls=calls or None,
                    logprob=one.logprob,
                )

            def done(number: int, one: Generated) -> None:
                if on_answer is not None:
                    on_answer(number, answer(number, one))

            grammars = None
            if sampling.constrained:
                if self._grammars is None:
                    self._grammars = Grammars(pretrained.tokenizer, chat_template.stop_ids)
                grammars = [self._grammars.of(one.output) for one in requests]
            generated = generate(
                pretrained,
                prompts,
                max_new_tokens=sampling.max_output_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=sampling.seed,
                grammars=grammars,
                on_done=done,
            )
            return [answer(number, one) for number, one in enumerate(generated)]

    def about(self) -> dict[str, Any]:
        """See :class:`~ftkit.backends.Answerer`."""
        with self._lock:
            pretrained = self._model()
        source, where = pretrained.source, pretrained.model.device
        return {
            "model": source.name,
            "base": Path(source.base).name if Path(source.base).is_dir() else source.base,
            "adapter": None if source.adapter is None else str(source.adapter),
            "precision": pretrained.precision,
            "quantisation": None if source.quantisation is None else source.quantisation.quant_type,
            "template_hash": pretrained.chat_template.template_hash,
            "parameters": pretrained.model.num_parameters(),
            **describe_machine(where),
            "versions": versions(),
        }

    def room_for_another(self) -> bool:
        """Whether a model of the same size, not quantised, would fit into the free memory beside this one."""
        with self._lock:
            pretrained = self._model()
        each = torch_dtype(pretrained.precision).itemsize
        needed = pretrained.model.num_parameters() * each
        return bool(free_memory_bytes(pretrained.model.device) > 1.3 * needed)  # and what answering takes

    def embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        """The embedding of each text; see :mod:`ftkit.inference.embeddings`."""
        with self._lock:
            return embeddings(self._model(), texts)

    def text_losses(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Negative log-likelihood of each text in nats, and its tokens; see :mod:`ftkit.inference.likelihood`."""
        with self._lock:
            return text_losses(self._model(), texts)

    def divergence_from(
        self, base: LocalAnswerer, conversations: Sequence[Sequence[Message]]
    ) -> list[tuple[float, int]]:
        """KL(base ‖ this model) over the last turn of each conversation in nats, and its tokens."""
        with base._lock:
            first = base._model()
        with self._lock:
            return divergences(first, self._model(), conversations)

    def _model(self) -> Pretrained:
        if self._loaded is None:
            self._loaded = load_served(self._name)
        return self._loaded
