"""Scores from a reward model, one number per conversation; prompts that answers share are computed once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ftkit.errors import DataError
from ftkit.modeling.attention import TREE_ATTENTION, own_attention
from ftkit.modeling.packed_forward import PackedForward, prefix_sharing_problem
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.rope_boundary import pack_by_length
from ftkit.modeling.tokenized_example import Example
from ftkit.task import Message

__all__ = ["score"]

_TOKENS = 4_096
"""Tokens computed in one pass."""


@torch.no_grad()
def score(pretrained: Pretrained, conversations: Sequence[Sequence[Message]]) -> list[float]:
    """Score the last assistant turn of each conversation.

    Args:
        pretrained: the loaded reward model.
        conversations: each ends with an assistant turn.

    Returns:
        One score per conversation.

    Raises:
        DataError: a conversation does not end with an assistant turn, or is longer than the model takes.
    """
    examples = []
    for number, messages in enumerate(conversations, start=1):
        if not messages or messages[-1].get("role") != "assistant":
            raise DataError(f"conversation {number} does not end with an assistant turn, so there is nothing to score")
        sequence = pretrained.chat_template.encode_examples(_last_only(messages))[-1]
        if pretrained.max_length is not None and len(sequence.ids) > pretrained.max_length:
            raise DataError(
                f"conversation {number} has {len(sequence.ids)} tokens, and the model takes {pretrained.max_length}"
            )
        examples.append(Example((sequence,)))
    if not examples:
        return []
    device = pretrained.model.device
    shared = prefix_sharing_problem(pretrained.model, device, [example.sequences[0] for example in examples]) is None
    if not shared and pretrained.model.config._attn_implementation == TREE_ATTENTION:
        pretrained.model.set_attn_implementation(
            own_attention(pretrained.model)
        )  # which makes the masks that the model needs
    forward = PackedForward(pretrained.model, device, shared=shared)
    scores: dict[int, float] = {}
    for pack, packed in pack_by_length(examples, _TOKENS if shared else 1, forward.boundary, share=shared):
        scores |= zip(map(id, packed), forward.scores(pack).tolist(), strict=True)
    return [scores[id(example)] for example in examples]


def _last_only(messages: Sequence[Message]) -> list[Message]:
    """Score only the last turn, so that a template which rewrites history gives one sequence."""
    earlier: list[Message] = [
        {**message, "weight": 0} if message["role"] == "assistant" else message for message in messages[:-1]
    ]
    return [*earlier, {**messages[-1], "weight": 1}]
