"""Answers from a model of this machine, by whichever engine runs it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from ftkit.backends.answer import OnAnswer, Request
from ftkit.backends.deadline import Deadline
from ftkit.backends.own_model import refuse_hosted_options
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ModelError, PromptError
from ftkit.inference.answers import read_answer
from ftkit.inference.leases import Lease, LeasePool
from ftkit.inference.offline import Generation, PendingGenerations
from ftkit.inference.protocol import EngineStats
from ftkit.modeling.rendered_parts import knows_thoughts
from ftkit.modeling.thinking_modes import thinking_prompts, thought_of
from ftkit.modeling.tokenized_example import Ints
from ftkit.results.answer import DEFAULT_OUTPUT_TOKENS, Answer, Sampling

__all__ = ["EngineAnswerer"]


class EngineAnswerer(ABC):
    """A model on this machine. It is loaded when it is first asked, and shared by all who ask for the same name.

    Calls from several threads or coroutines at the same time share batches. A model whose files were replaced is loaded
    again.

    Args:
        name: as :func:`ftkit.modeling.model_source.find_source` takes it.
        pool: returns the pool of the engine's loaded models.
    """

    keeps_deadlines = True

    def __init__(self, name: str, pool: Callable[[], LeasePool]) -> None:
        self._name, self._pool = name, pool

    def load(self) -> None:
        """Load the model, so that the first answer need not wait for it.

        Raises:
            ModelError: it cannot be loaded.
        """
        with self._pool().lease(self._name):
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
        with self._pool().lease(self._name) as lease:
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
        pool, loop, called = self._pool(), asyncio.get_running_loop(), time.monotonic()
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

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Describe the model; see :class:`ftkit.backends.Answerer`.

        Returns:
            Plain JSON values.
        """

    def stats(self) -> EngineStats:
        """Report how busy the model's engine is; loads the model.

        Returns:
            Counts of running and waiting answers, and of the work done so far.
        """
        with self._pool().lease(self._name) as lease:
            return lease.engine.stats()

    def close(self) -> None:
        """Unload the model, at once or, if somebody is asking it, afterwards. It is loaded again when it is asked."""
        self._pool().unload(self._name)

    def thought_tokens(self) -> int:
        """Say how many tokens the model may need for a thought before its answer.

        Returns:
            0 for a model whose chat template knows no thoughts; else 512.
        """
        with self._pool().lease(self._name) as lease:
            template = str(lease.chat_template.tokenizer.chat_template)
        return DEFAULT_OUTPUT_TOKENS if knows_thoughts(template) else 0

    def thoughts(self, questions: Sequence[str], max_output_tokens: int) -> dict[bool, list[str | None]] | None:
        """Ask questions in both modes of a reasoning model; see :mod:`ftkit.modeling.thinking_modes`.

        Args:
            questions: plain texts.
            max_output_tokens: longest answer.

        Returns:
            By mode (True: with a thought) what each answer thinks first, None where it does not; None if the chat
            template has no switch.
        """
        with self._pool().lease(self._name) as lease:
            with self._pool().tokenizer_lock:
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
                    sampling_logprobs=False,
                )
                try:
                    written = [future.result().ids for future in pending.futures]
                finally:
                    pending.cancel()
                with self._pool().tokenizer_lock:
                    texts = [str(lease.chat_template.tokenizer.decode(list(ids))) for ids in written]
                found[mode] = [thought_of(text, answer) for (text, _), answer in zip(asked, texts, strict=True)]
        return found

    def _submit(
        self,
        lease: Lease,
        requests: Sequence[Request],
        sampling: Sampling,
        on_done: Callable[[int], None] | None,
        numbers: Sequence[int] | None = None,
    ) -> tuple[list[Ints], PendingGenerations]:
        """Render requests, and queue them in the model's engine."""
        chat_template, limit = lease.chat_template, lease.engine.max_length
        # A limit that nobody wrote gives way to the room that a model has after the prompt; a written one does not.
        least = sampling.token_limit if "max_output_tokens" in sampling.model_fields_set else 1
        prompts: list[Ints] = []
        problems: dict[int, Any] = {}
        for number, request in enumerate(requests):
            try:
                with self._pool().tokenizer_lock:
                    prompt = chat_template.encode_prompt(request.messages, request.tools)
            except ModelError as error:
                problems[number] = error.args[0]
                continue
            prompts.append(prompt)
            if limit is not None and len(prompt) + least > limit:
                written = Argument("max_output_tokens", str(least), text=f"max_output_tokens={least}")
                problems[number] = ErrorText(
                    f"request {number + 1} has {len(prompt)} tokens; with ",
                    "an answer" if least == 1 else written,
                    f" that is above the model's {limit}",
                )
        if problems:
            raise PromptError(next(iter(problems.values())), problems)
        grammars = [lease.grammar(request.output) for request in requests] if sampling.constrained else None
        pending = PendingGenerations(
            lease.engine,
            prompts,
            max_new_tokens=[
                sampling.token_limit if limit is None else min(sampling.token_limit, limit - len(prompt))
                for prompt in prompts
            ],
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            grammars=grammars,
            stop_token_ids=chat_template.stop_ids,
            adapter=lease.adapter,
            on_done=on_done,
            numbers=numbers,
            sampling_logprobs=False,
        )
        return prompts, pending


def _deadline(requests: Sequence[Request], loading_s: float) -> Deadline | None:
    """The deadline of a call. The time in which the model was loaded does not count."""
    deadlines = [request.deadline for request in requests if request.deadline is not None]
    return max(deadlines, key=lambda one: one.at).later(loading_s) if len(deadlines) == len(requests) > 0 else None


def _answer(lease: Lease, request: Request, prompt: Ints, generation: Generation) -> Answer:
    keep_thought = request.output is None or request.output.kind == "text"
    return read_answer(lease.chat_template, prompt, generation, request.tools, keep_thought=keep_thought)
