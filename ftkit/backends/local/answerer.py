"""Answers from models that this process loads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ftkit.backends.answer import OnAnswer, Request
from ftkit.backends.deadline import Deadline
from ftkit.backends.own_model import refuse_hosted_options
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ModelError, PromptError
from ftkit.inference.answers import read_answer
from ftkit.inference.embeddings import embeddings
from ftkit.inference.likelihood import divergences, text_losses
from ftkit.inference.loaded_model import ModelLease
from ftkit.inference.offline import Generation, PendingGenerations
from ftkit.inference.protocol import EngineStats
from ftkit.inference.reward_scoring import score
from ftkit.inference.shared_pool import shared_pool
from ftkit.modeling.device import describe_machine, free_memory_bytes, torch_dtype
from ftkit.modeling.rendered_parts import knows_thoughts
from ftkit.modeling.thinking_modes import thinking_prompts, thought_of
from ftkit.modeling.tokenized_example import Ints
from ftkit.results.answer import DEFAULT_OUTPUT_TOKENS, Answer, Sampling
from ftkit.task import Message
from ftkit.training.artifact import versions

__all__ = ["LocalAnswerer"]


class LocalAnswerer:
    """A model on this machine. It is loaded when it is first asked, and shared by all who ask for the same name.

    Calls from several threads or coroutines at the same time share batches. A model whose files were replaced is loaded
    again. See :class:`ftkit.inference.limits.LoadedModelLimits` for when a model is unloaded.

    Args:
        name: as :func:`ftkit.modeling.model_source.find_source` takes it.
    """

    keeps_deadlines = True

    def __init__(self, name: str) -> None:
        self._name = name

    def load(self) -> None:
        """Load the model, so that the first answer need not wait for it.

        Raises:
            ModelError: it cannot be loaded.
        """
        with shared_pool().lease(self._name):
            pass

    def answer_many(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        on_answer: OnAnswer | None = None,
        *,
        numbers: Sequence[int] | None = None,
    ) -> list[Answer]:
        """Answer each request; see :class:`ftkit.backends.Answerer`.

        Args:
            requests: what to ask.
            sampling: how answers are sampled.
            on_answer: called in this thread with each answer as soon as it is complete.
            numbers: the number of each request, on which its random numbers depend; its place by default. Give it to
                ask a part of some requests and get the answers of all at once.

        Returns:
            The answers in the order of ``requests``.

        Raises:
            ModelError: the model cannot be loaded, or a conversation is longer than it takes.
        """
        self.check_requests(requests, sampling)
        called = time.monotonic()
        with shared_pool().lease(self._name) as lease:
            deadline = _deadline(requests, time.monotonic() - called)
            finished: SimpleQueue[int] = SimpleQueue()
            prompts, pending = self._submit(lease, requests, sampling, finished.put, numbers)
            answers: dict[int, Answer] = {}
            try:
                while len(answers) < len(requests):
                    try:
                        number = finished.get(timeout=None if deadline is None else deadline.remaining_s)
                    except Empty:
                        break
                    generation = pending.futures[number].result()
                    answers[number] = _answer(lease, requests[number], prompts[number], generation)
                    if on_answer is not None:
                        on_answer(number, answers[number])
            finally:
                pending.cancel()
        if deadline is not None:
            for number in set(range(len(requests))) - answers.keys():
                answers[number] = deadline.answer(time.monotonic() - called)
                if on_answer is not None:
                    on_answer(number, answers[number])
        return [answers[number] for number in range(len(requests))]

    async def answer_many_async(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        """Answer each request without blocking the event loop.

        Args:
            requests: what to ask.
            sampling: how answers are sampled.

        Returns:
            The answers in the order of ``requests``.

        Raises:
            ModelError: the model cannot be loaded, or a conversation is longer than it takes.
        """
        self.check_requests(requests, sampling)
        pool, loop, called = shared_pool(), asyncio.get_running_loop(), time.monotonic()
        with await pool.lease_async(self._name) as lease:
            deadline = _deadline(requests, time.monotonic() - called)
            prompts, pending = await loop.run_in_executor(
                pool.tokenizer_thread, self._submit, lease, requests, sampling, None
            )
            futures = [asyncio.wrap_future(future) for future in pending.futures]
            for future in futures:  # nobody reads the error of an answer that is given up
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                if futures:
                    limit = None if deadline is None else deadline.remaining_s
                    await asyncio.wait(futures, timeout=limit, return_when=asyncio.FIRST_EXCEPTION)
                for future in futures:  # the first failure is that of the call
                    if future.done():
                        future.result()
            finally:
                pending.cancel()
            answers = []
            for request, prompt, future in zip(requests, prompts, futures, strict=True):
                if deadline is not None and (not future.done() or future.cancelled()):
                    answers.append(deadline.answer(time.monotonic() - called))
                else:
                    answers.append(_answer(lease, request, prompt, future.result()))
            return answers

    def reasons_on_request(self) -> bool:
        """Say whether the model takes an effort of reasoning.

        Returns:
            False: ``reasoning_effort`` is for models at hosts.
        """
        return False

    def check_requests(self, requests: Sequence[Request], sampling: Sampling) -> None:
        """Refuse the options that a model on this machine cannot honour.

        Args:
            requests: the requests.
            sampling: how answers are sampled.
        """
        refuse_hosted_options(sampling, backend="local", model=self._name, machine="this machine")

    def about(self) -> dict[str, Any]:
        """Describe the model; see :class:`ftkit.backends.Answerer`.

        Returns:
            Plain JSON values.
        """
        with shared_pool().lease(self._name) as lease:
            pretrained = lease.pretrained
            source, device = pretrained.source, pretrained.model.device
            return {
                "model": source.name,
                "base": Path(source.base).name if Path(source.base).is_dir() else source.base,
                "adapter": None if source.adapter is None else str(source.adapter),
                "precision": pretrained.precision,
                "quantisation": None if source.quantisation is None else source.quantisation.quant_type,
                "template_hash": lease.chat_template.template_hash,
                **({"template_day": date.today().isoformat()} if lease.chat_template.writes_day else {}),
                "parameters": pretrained.model.num_parameters(),
                **describe_machine(device),
                "versions": versions(),
            }

    def stats(self) -> EngineStats:
        """Report how busy the model's engine is; loads the model.

        Returns:
            Counts of running and waiting answers, and of the work done so far.
        """
        with shared_pool().lease(self._name) as lease:
            return lease.engine.stats()

    def close(self) -> None:
        """Unload the model, at once or, if somebody is asking it, afterwards. It is loaded again when it is asked."""
        shared_pool().unload(self._name)

    def room_for_another(self) -> bool:
        """Say whether an unquantised model of the same size fits into the free memory beside this one.

        Returns:
            True if it fits.
        """
        with shared_pool().lease(self._name) as lease:
            pretrained = lease.pretrained
            needed = pretrained.model.num_parameters() * torch_dtype(pretrained.precision).itemsize
            return bool(free_memory_bytes(pretrained.model.device) > 1.3 * needed)  # 0.3 for what generation takes

    def thought_tokens(self) -> int:
        """Say how many tokens the model may need for a thought before its answer.

        Returns:
            0 for a model whose chat template knows no thoughts; else 512.
        """
        with shared_pool().lease(self._name) as lease:
            template = str(lease.chat_template.tokenizer.chat_template)
        return DEFAULT_OUTPUT_TOKENS if knows_thoughts(template) else 0

    def embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts; see :func:`ftkit.inference.embeddings.embeddings`.

        Args:
            texts: the texts.

        Returns:
            One vector of the model's hidden size per text.
        """
        with shared_pool().lease(self._name) as lease:
            return lease.call(lambda pretrained: embeddings(pretrained, texts)).result()

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """Score conversations with a reward model; see :func:`ftkit.inference.reward_scoring.score`.

        Args:
            conversations: each ends with an assistant turn.

        Returns:
            One score per conversation.

        Raises:
            ModelError: this is not a reward model.
            DataError: a conversation cannot be scored.
        """
        with shared_pool().lease(self._name, scores=True) as lease:
            return lease.call(lambda pretrained: score(pretrained, conversations)).result()

    def text_losses(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Measure how likely texts are; see :func:`ftkit.inference.likelihood.text_losses`.

        Args:
            texts: plain texts.

        Returns:
            For each text its negative log-likelihood in nats and its number of predicted tokens.
        """
        with shared_pool().lease(self._name) as lease:
            return lease.call(lambda pretrained: text_losses(pretrained, texts)).result()

    def thoughts(self, questions: Sequence[str], max_output_tokens: int) -> dict[bool, list[str | None]] | None:
        """Ask questions in both modes of a reasoning model; see :mod:`ftkit.modeling.thinking_modes`.

        Args:
            questions: plain texts.
            max_output_tokens: longest answer.

        Returns:
            By mode (True: with a thought) what each answer thinks first, None where it does not; None if the chat
            template has no switch.
        """
        with shared_pool().lease(self._name) as lease:
            with shared_pool().tokenizer_lock:
                prompts = thinking_prompts(lease.chat_template, questions)
            if prompts is None:
                return None
            found: dict[bool, list[str | None]] = {}
            for mode, asked in prompts.items():
                pending = PendingGenerations(
                    lease.engine,
                    [ids for _, ids in asked],
                    max_new_tokens=max_output_tokens,
                    temperature=0.0,
                    top_p=1.0,
                    seed=0,
                    stop_token_ids=lease.chat_template.stop_ids,
                    adapter=lease.adapter,
                )
                try:
                    written = [future.result().ids for future in pending.futures]
                finally:
                    pending.cancel()
                with shared_pool().tokenizer_lock:
                    texts = [str(lease.chat_template.tokenizer.decode(list(ids))) for ids in written]
                found[mode] = [thought_of(text, answer) for (text, _), answer in zip(asked, texts, strict=True)]
        return found

    def divergence_from(
        self, base: LocalAnswerer, conversations: Sequence[Sequence[Message]]
    ) -> list[tuple[float, int]]:
        """Measure KL(base ‖ this model); see :func:`ftkit.inference.likelihood.divergences`.

        Args:
            base: the other model.
            conversations: the divergence is measured over the last turn of each.

        Returns:
            For each conversation the divergence in nats, summed over its tokens, and their number.
        """
        pool = shared_pool()
        with pool.lease(base._name) as first, pool.lease(self._name) as second:
            return divergences(
                lambda function: first.call(function).result(),
                lambda function: second.call(function).result(),
                conversations,
            )

    def _submit(
        self,
        lease: ModelLease,
        requests: Sequence[Request],
        sampling: Sampling,
        on_done: Callable[[int], None] | None,
        numbers: Sequence[int] | None = None,
    ) -> tuple[list[Ints], PendingGenerations]:
        """Render requests, and queue them in the model's engine."""
        chat_template, limit = lease.chat_template, lease.engine.max_length
        prompts: list[Ints] = []
        problems: dict[int, Any] = {}
        for number, request in enumerate(requests):
            try:
                with shared_pool().tokenizer_lock:
                    prompt = chat_template.encode_prompt(request.messages, request.tools)
            except ModelError as error:
                problems[number] = error.args[0]
                continue
            prompts.append(prompt)
            if limit is not None and len(prompt) + sampling.token_limit > limit:
                problems[number] = ErrorText(
                    f"request {number + 1} has {len(prompt)} tokens; with ",
                    Argument(
                        "max_output_tokens",
                        str(sampling.token_limit),
                        text=f"max_output_tokens={sampling.token_limit}",
                    ),
                    f" that is above the model's {limit}",
                )
        if problems:
            raise PromptError(next(iter(problems.values())), problems)
        grammars = [lease.grammar(request.output) for request in requests] if sampling.constrained else None
        pending = PendingGenerations(
            lease.engine,
            prompts,
            max_new_tokens=sampling.token_limit,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            grammars=grammars,
            stop_token_ids=chat_template.stop_ids,
            adapter=lease.adapter,
            on_done=on_done,
            numbers=numbers,
        )
        return prompts, pending


def _deadline(requests: Sequence[Request], loading_s: float) -> Deadline | None:
    """The deadline of a call. The time in which the model was loaded does not count."""
    deadlines = [request.deadline for request in requests if request.deadline is not None]
    return max(deadlines, key=lambda one: one.at).later(loading_s) if len(deadlines) == len(requests) > 0 else None


def _answer(lease: ModelLease, request: Request, prompt: Ints, generation: Generation) -> Answer:
    keep_thought = request.output is None or request.output.kind == "text"
    return read_answer(lease.chat_template, prompt, generation, request.tools, keep_thought=keep_thought)
