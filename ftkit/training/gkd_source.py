"""Answers for generalised knowledge distillation: those of the rows, or the model's own."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.training.adapter_modes import sampling_mode
from ftkit.training.example_source import Batch, Evaluation, ExampleSource
from ftkit.training.losses.gkd import GKDLoss, prompt_of
from ftkit.training.rollout_sampler import sample_tokens
from ftkit.training.teacher import Teacher

__all__ = ["GKDSource"]

_WHICH, _ANSWERS = 0, 1
"""What is drawn in a step: whether it learns from the model's own answers, and these."""


class GKDSource(ExampleSource):
    """Samples answers in a share of the steps. All that is drawn follows from the seed, the step and the weights."""

    @override
    def setup(self) -> None:
        context = self.context
        examples = context.rows.examples() + (context.validation_rows.examples() if context.validation_rows else [])
        sequences = context.loss.sample_sequences(examples)
        assert isinstance(context.loss, GKDLoss)  # noqa: S101  (the loss names this source)
        context.loss.teacher = Teacher(
            context.recipe.teacher, context.pretrained, context.computer.forward.device, sequences
        )

    @override
    def prepare(self, step: int) -> Batch:
        epoch, rows = self.rows_of(step)
        share = self.context.recipe.lmbda
        if share < 1 and np.random.default_rng([self.context.recipe.seed, step, _WHICH]).random() >= share:
            return Batch(rows, epoch, {"on_policy": 0.0})
        began = time.monotonic()
        answered = self._answered(rows, self.context.recipe.temperature, self._seed(step))
        lengths = [int(example.sequences[0].supervised.sum()) for example in answered]
        metrics = {
            "on_policy": 1.0,
            "output_tokens": float(np.mean(lengths)) if lengths else 0.0,
            "draw_seconds": round(time.monotonic() - began, 4),
        }
        return Batch(answered, epoch, metrics)

    @override
    def evaluate(self) -> Evaluation:
        rows = self.context.validation_rows
        assert rows is not None  # noqa: S101  (callers check)
        examples = rows.examples()
        if not all(example.sequences[0].supervised.any() for example in examples):
            examples = self._answered(examples, 0.0, self._seed(0))
        loss, metrics = self.context.computer.evaluate(examples)
        return Evaluation(loss, {"loss": loss, **metrics})

    def _answered(self, rows: Sequence[Example], temperature: float, seed: int) -> list[Example]:
        """The prompts of rows with the model's own answers."""
        recipe, prompts = self.context.recipe, [prompt_of(row) for row in rows]
        with sampling_mode(self.context.adapted):
            answers = sample_tokens(
                self.context.pretrained,
                prompts,
                max_new_tokens=recipe.max_output_tokens,
                temperature=temperature,
                top_p=recipe.top_p,
                seed=seed,
            )
        examples = []
        for prompt, answer in zip(prompts, answers, strict=True):
            if answer.ids:
                ids = np.concatenate([prompt, np.array(answer.ids, dtype=prompt.dtype)])
                examples.append(Example((TokenizedConversation(ids, np.arange(len(ids)) >= len(prompt)),)))
        return examples

    def _seed(self, step: int) -> int:
        seeds = np.random.SeedSequence([self.context.recipe.seed, step, _ANSWERS])
        return int(seeds.generate_state(1)[0])
