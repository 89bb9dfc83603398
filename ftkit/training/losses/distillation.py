"""Distillation from a teacher's likeliest tokens; see :class:`ftkit.recipe.Distillation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from ftkit.data import Row
from ftkit.data.token_logprobs import read_token_logprobs
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.token_logits import map_logits
from ftkit.modeling.tokenized_example import Example, TeacherTokens
from ftkit.recipe import Distillation
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.jensen_shannon import generalized_jsd, log_rest
from ftkit.training.losses.sft import supervised_tokens
from ftkit.training.losses.teacher_tokens import align

__all__ = ["DistillationLoss"]

Tensor = torch.Tensor


class DistillationLoss(Loss[Distillation]):
    """The divergence of each token's distribution from the teacher's, over its likeliest tokens and all others."""

    source_class: ClassVar[str | type] = "ftkit.training.teacher_source:TeacherSource"

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        row.require_answer()
        if self.recipe.teacher is not None:
            sequences = chat_template.encode_examples(row.messages, row.tools, row.place)
            return [Example((sequence,)) for sequence in sequences]
        given = row.columns.get("logprobs")
        if given is None:
            raise DataError(
                "missing: the log-probabilities of the answer's tokens. Ask the teacher with logprobs=True and "
                "top_logprobs=20 and keep them, name a local teacher (teacher=), or train with SFT",
                place=row.place,
                field="logprobs",
            )
        sequence = chat_template.encode_answer(row.messages, row.tools, row.place)
        positions = read_token_logprobs(given, row.place)
        return [Example((sequence,), teacher=align(positions, sequence, chat_template.tokenizer, row.place))]

    @override
    def size(self, examples: Sequence[Example]) -> float:
        return supervised_tokens(examples)

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        logits = forward.token_logits(pack)
        known = _joined([example.teacher for example in examples if example.teacher is not None])
        device = logits.inputs.device
        tokens, values, rest = (
            torch.from_numpy(array).to(device) for array in (known.tokens, known.logprobs, known.rest)
        )
        tokens, weight, beta = tokens.long(), self.recipe.nll_weight, self.recipe.beta

        def losses(logits_of_part: Tensor, part: slice) -> tuple[Tensor, ...]:
            logprobs = logits_of_part.log_softmax(dim=1)
            chosen, student, teacher = tokens[part], logprobs.gather(1, tokens[part]), values[part]
            valid = torch.isfinite(teacher)
            if chosen.shape[1] < logprobs.shape[1]:
                student = torch.cat([student, log_rest(logprobs, chosen).unsqueeze(1)], dim=1)
                teacher = torch.cat([teacher, rest[part].unsqueeze(1)], dim=1)
                valid = torch.cat([valid, torch.isfinite(rest[part]).unsqueeze(1)], dim=1)
            divergence = generalized_jsd(student, teacher, beta, valid)
            nll = -logprobs.gather(1, logits.targets[part].unsqueeze(1)).squeeze(1)
            likeliest = chosen.gather(1, values[part].argmax(dim=1, keepdim=True)).squeeze(1)
            agrees = (logprobs.detach().argmax(dim=1) == likeliest).float()
            return divergence + weight * nll, divergence.detach(), agrees

        total, divergence, agrees = map_logits(logits, losses)
        metrics = {"divergence": float(divergence.sum()), "teacher_agreement": float(agrees.sum())}
        return LossOutput(total.sum(), metrics)


def _joined(parts: Sequence[TeacherTokens]) -> TeacherTokens:
    """The teacher's tokens of several sequences, one after the other."""
    width = max(part.tokens.shape[1] for part in parts)
    tokens = [np.pad(part.tokens, ((0, 0), (0, width - part.tokens.shape[1])), mode="edge") for part in parts]
    pads = [((0, 0), (0, width - part.logprobs.shape[1])) for part in parts]
    logprobs = [np.pad(part.logprobs, pad, constant_values=-np.inf) for part, pad in zip(parts, pads, strict=True)]
    return TeacherTokens(
        np.concatenate(tokens), np.concatenate(logprobs), np.concatenate([part.rest for part in parts])
    )
