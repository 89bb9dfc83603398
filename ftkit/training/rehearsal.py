"""Rehearsal rows in tokens: general prompts with the answers of the model as it was before the first step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from ftkit.data import Row
from ftkit.errors import DataError
from ftkit.inference.offline import generate
from ftkit.modeling.tokenized_example import Example, Ints, TokenizedConversation
from ftkit.recipe.preserve import Preserve
from ftkit.training.adapter_modes import sampling_mode
from ftkit.training.example_source import TrainingContext
from ftkit.training.rehearsal_rows import check_rehearsal, choose_rehearsal

__all__ = ["Rehearsal", "prompt_examples"]


class Rehearsal:
    """The rows that a run rehearses, and those held out to measure the harm.

    Must be made while the model has its initial weights. What the model answers is kept beside the checkpoints, so that
    a resumed run does not ask again.

    Args:
        context: what the run trains with; its recipe has a ``preserve``.
        wanted: rows that the whole run rehearses, each of them counted once.

    Attributes:
        rows: the rehearsed rows.
        held_out: the rows that are never trained on.
        answered: whether the model answered any of the rehearsed rows itself.
    """

    def __init__(self, context: TrainingContext, wanted: int) -> None:
        preserve: Preserve = context.recipe.preserve
        assert context.rehearsal is not None  # noqa: S101  (the job opened them)
        check_rehearsal(preserve, context.rehearsal)
        held_out, rehearsed = choose_rehearsal(preserve, context.rehearsal, wanted)
        rows = [context.rehearsal[number] for number in (*held_out, *rehearsed)]
        self._context = context
        self._limit = context.recipe.max_length or context.pretrained.max_length
        began = time.monotonic()
        answers = self._answers([row for row in rows if row.completion is None], preserve.max_output_tokens)
        self.answered = any(row.completion is None for row in rows[len(held_out) :])
        examples = [self._example(row, answers) for row in rows]
        self.held_out, self.rows = examples[: len(held_out)], examples[len(held_out) :]
        context.emit(
            "log",
            {
                "message": "rehearsal rows are ready",
                "rehearsed": len(self.rows),
                "held_out": len(self.held_out),
                "answered_by_the_model": len(answers),
                "seconds": round(time.monotonic() - began, 3),
            },
        )

    def batch(self, step: int, per_step: float) -> list[Example]:
        """Return the rows that a step rehearses, in a shuffled order that begins anew when all were rehearsed.

        Args:
            step: the optimiser step, from 1.
            per_step: rows of a step on average.

        Returns:
            The rows; they follow from the step's number and the recipe's seed.
        """
        count, seed = len(self.rows), self._context.recipe.seed
        first, last = int((step - 1) * per_step), int(step * per_step)
        numbers = range(first, last)
        orders = {number // count: None for number in numbers}
        drawn = {turn: np.random.default_rng([seed, turn, 1]).permutation(count) for turn in orders}
        return [self.rows[drawn[number // count][number % count]] for number in numbers]

    def _answers(self, rows: Sequence[Row], longest: int) -> dict[str, Ints]:
        """The model's answer to each row without one, by the row's id: prompt and answer, with the prompt's length."""
        if not rows:
            return {}
        context = self._context
        prompts = [context.pretrained.chat_template.encode_prompt(row.prompt, row.tools, row.place) for row in rows]
        for row, prompt in zip(rows, prompts, strict=True):
            self._check_length(row, len(prompt) + longest)
        answers = context.computer.workers.from_first(context.checkpoints.rehearsal)
        if answers is None or len(answers) != len(rows):
            with sampling_mode(context.adapted):
                generated = generate(context.pretrained, prompts, max_new_tokens=longest)
            answers = [torch.tensor(one.ids, dtype=torch.int32) for one in generated]
            save = partial(context.checkpoints.save_rehearsal, answers)
            context.checkpoints.try_write(save, "step 0: the answers to rehearsal prompts", context.warn)
        self._prompts = {row.id: len(prompt) for row, prompt in zip(rows, prompts, strict=True)}
        return {
            row.id: np.concatenate([prompt, answer.numpy().astype(prompt.dtype)])
            for row, prompt, answer in zip(rows, prompts, answers, strict=True)
        }

    def _example(self, row: Row, answers: dict[str, Ints]) -> Example:
        if row.completion is None:
            ids = answers[row.id]
            return Example((TokenizedConversation(ids, np.arange(len(ids)) >= self._prompts[row.id]),))
        template = self._context.pretrained.chat_template
        sequence = template.encode_answer([*row.prompt, row.completion], row.tools, row.place)
        self._check_length(row, len(sequence.ids))
        return Example((sequence,))

    def _check_length(self, row: Row, length: int) -> None:
        if self._limit is not None and length > self._limit:
            raise DataError(
                f"the rehearsal row has {length} tokens with its answer, and the limit is {self._limit}; shorten or "
                "drop it",
                place=row.place,
            )


def prompt_examples(examples: Sequence[Example]) -> list[Example]:
    """Return the prompts of training examples, with every token but the first to be predicted.

    Args:
        examples: of a batch.

    Returns:
        One example for each different prompt.
    """
    prompts: dict[bytes, TokenizedConversation] = {}
    for sequence in (sequence for example in examples for sequence in example.sequences):
        end = int(sequence.supervised.argmax()) if sequence.supervised.any() else len(sequence.ids)
        if end > 1:
            ids = sequence.ids[:end]
            prompts[ids.tobytes()] = TokenizedConversation(ids, np.arange(end) > 0)
    return [Example((prompt,)) for prompt in prompts.values()]
