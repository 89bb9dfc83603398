"""Rows of a dataset, with the likeliest tokens of a local teacher."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from typing_extensions import override

from ftkit.errors import RefusedError
from ftkit.modeling.tokenized_example import Example, TeacherTokens
from ftkit.training.example_source import DatasetSource
from ftkit.training.teacher import Teacher

__all__ = ["TeacherSource"]

_BYTES = 8
"""Of one of the teacher's tokens: its id and its log-probability."""
_MOST_BYTES = 8 << 30


class TeacherSource(DatasetSource):
    """Asks the teacher once, before the first step, and unloads it."""

    @override
    def setup(self) -> None:
        super().setup()
        context = self.context
        if context.recipe.teacher is None:
            return
        parts = [part for part in (context.rows, context.validation_rows) if part is not None]
        examples = [example for part in parts for example in part.examples()]
        lengths = [int(example.sequences[0].supervised.sum()) for example in examples]
        width = min(context.recipe.top_k, context.pretrained.chat_template.vocabulary or context.recipe.top_k)
        size = sum(lengths) * width * _BYTES
        if size > _MOST_BYTES:
            raise RefusedError(
                f"top_k={context.recipe.top_k}: the teacher's likeliest tokens of {sum(lengths):,} tokens would take "
                f"{size / 2**30:.0f} GiB, and {_MOST_BYTES >> 30} are allowed; lower it",
                backend="local",
                fields=("top_k",),
            )
        known = context.computer.workers.from_first(context.checkpoints.teacher)
        if known is None:
            asked = self._ask(examples)
            context.checkpoints.try_write(
                lambda: context.checkpoints.save_teacher(*asked),
                "step 0: the teacher's log-probabilities",
                context.warn,
            )
            known = asked
        found = iter(_split(known, lengths))
        for part in parts:
            for row in part.rows:
                row[:] = [replace(example, teacher=next(found)) for example in row]

    def _ask(self, examples: list[Example]) -> list[torch.Tensor]:
        """Load the teacher, and ask it about all rows."""
        context, began = self.context, time.monotonic()
        sequences = [example.sequences[0] for example in examples]
        teacher = Teacher(context.recipe.teacher, context.pretrained, context.computer.forward.device, sequences)
        found = teacher.likeliest(examples, context.recipe.top_k, context.recipe.max_batch_tokens)
        seconds = round(time.monotonic() - began, 3)
        context.emit("log", {"message": "asked the teacher about the rows", "seconds": seconds})
        return [
            torch.from_numpy(np.concatenate(parts))
            for parts in (
                [each.tokens for each in found],
                [each.logprobs for each in found],
                [each.rest for each in found],
            )
        ]


def _split(known: list[torch.Tensor], lengths: list[int]) -> list[TeacherTokens]:
    parts = [torch.split(tensor, lengths) for tensor in known]
    return [TeacherTokens(*(each.numpy() for each in of_row)) for of_row in zip(*parts, strict=True)]
