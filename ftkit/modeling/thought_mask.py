"""Leave a model's thoughts out of the loss: they stay in the sequence, as what the answer follows on."""

from __future__ import annotations

import numpy as np

from ftkit.errors import DataError, Place
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.rendered_parts import THOUGHT_TAGS
from ftkit.modeling.tokenized_example import Ints, TokenizedConversation

__all__ = ["mask_thoughts"]

_TAGS = {**THOUGHT_TAGS, "<|channel|>analysis": "<|end|>"}
"""What is written before and after a thought, also in the channels of gpt-oss."""
_TOKENS_BEFORE = 40
"""Tokens before a turn in which the generation prompt may open a thought."""


def mask_thoughts(
    sequence: TokenizedConversation, chat_template: ChatTemplate, place: Place | None = None
) -> TokenizedConversation:
    """Leave the thought at the beginning of each supervised turn out of the loss, with its tags, also an empty one.

    Args:
        sequence: a conversation in tokens.
        chat_template: the model's tokenizer and chat template.
        place: file and line of the row, for errors.

    Returns:
        The sequence with fewer supervised tokens; the same one if no turn has a thought.

    Raises:
        DataError: nothing but thoughts is supervised.
    """
    supervised = sequence.supervised.copy()
    edges = np.flatnonzero(np.diff(supervised.astype(np.int8), prepend=0, append=0)).tolist()
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        supervised[begin : begin + _thought_length(sequence.ids, begin, end, chat_template)] = False
    if not supervised.any():
        raise DataError(
            "the learned turns hold nothing but thoughts, which train_reasoning=False leaves out", place=place
        )
    return TokenizedConversation(sequence.ids, supervised)


def _thought_length(ids: Ints, begin: int, end: int, chat_template: ChatTemplate) -> int:
    """Tokens of the thought with which a turn begins; 0 if there is none, or if it has no end."""

    def text(start: int, stop: int) -> str:
        return str(chat_template.tokenizer.decode(ids[start:stop].tolist(), skip_special_tokens=False))

    turn, before = text(begin, end).lstrip(), text(max(0, begin - _TOKENS_BEFORE), begin).rstrip()
    closing = next(
        (
            closing
            for opening, closing in _TAGS.items()
            if closing in turn and (turn.startswith(opening) or before.endswith(opening))
        ),
        None,
    )
    if closing is None:
        return 0
    low, high = 1, end - begin
    while low < high:  # the fewest tokens whose text holds the closing tag
        middle = (low + high) // 2
        low, high = (low, middle) if closing in text(begin, begin + middle) else (middle + 1, high)
    return low
