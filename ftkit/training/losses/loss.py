"""What the loop must know of a way to train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example

__all__ = ["Method", "Outcome"]


class Outcome(NamedTuple):
    """What a pack gives.

    Attributes:
        total: loss added up over the pack's examples, a scalar to call ``backward`` on.
        figures: what else is worth knowing, added up likewise; their means go into the step's event. Demonstrations
            tell ``token_accuracy``: the share of supervised tokens that the model, given all before them, holds
            likeliest. Each token counts once, whatever row it is of, as in TRL's ``mean_token_accuracy``.
    """

    total: torch.Tensor
    figures: Mapping[str, float]


class Method(NamedTuple):
    """A way to train, as functions of a batch. None of them keeps anything.

    Attributes:
        render: a row in tokens, as examples.
        size: what the loss of a batch is divided by: its supervised tokens, or its pairs. So a batch gives the same
            gradient however it is cut up for computing.
        loss: the loss of a pack, given its examples, added up.
        scores: the model ends in a score, not in a vocabulary.
        refers: the loss compares with the model that training began with: examples must bring their ``reference``.
        descends: the loss falls as the model learns. Where it learns from its own answers, their reward tells instead.
    """

    render: Callable[[Row, ChatTemplate], list[Example]]
    size: Callable[[Sequence[Example]], float]
    loss: Callable[[PackedForward, PackedSequence, Sequence[Example]], Outcome]
    scores: bool = False
    refers: bool = False
    descends: bool = True
