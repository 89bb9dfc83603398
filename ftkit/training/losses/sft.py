"""Supervised fine-tuning: the mean negative log-likelihood of the supervised tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ftkit.data import Row
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example
from ftkit.training.losses.loss import Method, Outcome

__all__ = ["demonstrations", "supervised_tokens"]


def demonstrations() -> Method:
    """Each row is one example, or one for each supervised turn where the template rewrites history."""
    return Method(_render, supervised_tokens, _loss)


def _render(row: Row, chat_template: ChatTemplate) -> list[Example]:
    if row.completion is None:
        raise DataError("the row has no answer to learn from", place=row.place)
    return [Example((one,)) for one in chat_template.encode_examples(row.messages, row.tools, row.place)]


def supervised_tokens(examples: Sequence[Example]) -> float:
    """How many there are: what a batch's loss is divided by."""
    return float(sum(one.supervised.sum() for example in examples for one in example.sequences))


def _loss(forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> Outcome:
    likeliest = torch.empty(len(pack.logit_indices), dtype=torch.bool, device=forward.device)
    total = forward.loss(pack, likeliest=likeliest)[0]
    # A prediction that several rows share counts for each of them, as in the loss.
    return Outcome(total, {"token_accuracy": float(pack.weights[likeliest.cpu().numpy()].sum())})
