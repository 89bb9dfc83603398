"""Generalised knowledge distillation (arXiv 2306.13649); see :class:`ftkit.recipe.GKD`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from ftkit.data import Row
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.token_logits import map_logits
from ftkit.modeling.tokenized_example import Example, Ints, TokenizedConversation
from ftkit.recipe import GKD
from ftkit.training.dataloader import TokenRows
from ftkit.training.estimation.rl_workload import generation_workload, longest_examples
from ftkit.training.estimation.workload import Workload, pack_sizes
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.jensen_shannon import generalized_jsd
from ftkit.training.losses.sft import supervised_tokens
from ftkit.training.teacher import Teacher

__all__ = ["GKDLoss", "prompt_of"]

Tensor = torch.Tensor


class GKDLoss(Loss[GKD]):
    """The divergence of each token's distribution from the teacher's, over the whole vocabulary.

    Attributes:
        teacher: set by the source of examples before the first step.
    """

    source_class: ClassVar[str | type] = "ftkit.training.gkd_source:GKDSource"
    teacher: Teacher | None = None

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        if row.completion is not None:
            row.require_answer()
            return [Example((chat_template.encode_answer(row.messages, row.tools, row.place),))]
        if self.recipe.lmbda < 1:
            raise DataError(
                "the row has no answer, and a part of the steps learns from the rows' answers; set lmbda=1 to learn "
                "from the model's own answers only",
                place=row.place,
                problem="no_answer",
            )
        ids = chat_template.encode_prompt(row.prompt, row.tools, row.place)
        return [Example((TokenizedConversation(ids, np.zeros(len(ids), dtype=np.bool_)),))]

    @override
    def size(self, examples: Sequence[Example]) -> float:
        return supervised_tokens(examples)

    @override
    def sample_sequences(self, examples: Sequence[Example]) -> list[TokenizedConversation]:
        return [each.sequences[0] for each in longest_examples(examples, 1, self.recipe.max_output_tokens)]

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        assert self.teacher is not None  # noqa: S101  (the source sets it)
        logits, teacher = forward.token_logits(pack), self.teacher.token_logits(pack, examples)

        def losses(logits_of_part: Tensor, part: slice) -> tuple[Tensor, ...]:
            with torch.no_grad():
                theirs = teacher.head(teacher.inputs[part]).log_softmax(dim=1)
            ours = logits_of_part[:, : theirs.shape[1]].log_softmax(dim=1)
            agrees = (ours.detach().argmax(dim=1) == theirs.argmax(dim=1)).float()
            return generalized_jsd(ours, theirs, self.recipe.beta), agrees

        total, agrees = map_logits(logits, losses)
        return LossOutput(total.sum(), {"teacher_agreement": float(agrees.sum())})

    @override
    def workload(
        self,
        rows: TokenRows,
        *,
        shared: bool,
        total_rows: int | None = None,
        validation: TokenRows | None = None,
        total_validation_rows: int | None = None,
    ) -> Workload:
        known = super().workload(
            rows,
            shared=shared,
            total_rows=total_rows,
            validation=validation,
            total_validation_rows=total_validation_rows,
        )
        length = self.recipe.max_output_tokens
        if not self.recipe.lmbda:
            return known
        batches = list(rows.batches(0, int(self.recipe.batch_size), self.recipe.seed))
        prompts = [[prompt_of(example) for example in batch] for batch in batches]
        return replace(
            known,
            longest=max(known.longest, *(len(prompt) + length for batch in prompts for prompt in batch)),
            steps=[pack_sizes(longest_examples(batch, 1, length), self.recipe, shared=shared) for batch in batches],
            generations=[generation_workload(asked, 1, length, shared=shared) for asked in prompts],
        )


def prompt_of(example: Example) -> Ints:
    """Return the prompt of a row.

    Args:
        example: a conversation, or a prompt without answer.

    Returns:
        The tokens before the first supervised one.
    """
    [sequence] = example.sequences
    return sequence.ids[: sequence.supervised.argmax()] if sequence.supervised.any() else sequence.ids
