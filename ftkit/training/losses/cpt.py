"""Continued pre-training: the mean negative log-likelihood of all tokens of plain texts."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

import numpy as np
from typing_extensions import override

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.plain_text import encode_plain_text
from ftkit.modeling.tokenized_example import Example, Ints, TokenizedConversation
from ftkit.recipe import CPT
from ftkit.training.dataloader import TokenRows
from ftkit.training.losses.sft import NegativeLogLikelihood

__all__ = ["CPTLoss"]


class CPTLoss(NegativeLogLikelihood[CPT]):
    """The loss of the pieces of texts, packed into blocks."""

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        ids = encode_plain_text(row.require_text(), chat_template, row.place)
        return [
            Example((TokenizedConversation(piece, np.arange(len(piece)) > 0),))
            for piece in _pieces(ids, self.recipe.block_size)
        ]

    @override
    def arrange(self, rows: TokenRows) -> TokenRows:
        pieces = [example for example in rows.examples() if len(example.sequences[0].ids) > 1]
        lengths = [len(piece.sequences[0].ids) for piece in pieces]
        blocks = pack_blocks(lengths, self.recipe.block_size) if self.recipe.packing else None
        packed = [[piece] for piece in pieces] if blocks is None else [[pieces[at] for at in block] for block in blocks]
        return TokenRows(packed, rows.tokens, rows.supervised, rows.longest)


def _pieces(ids: Ints, size: int) -> Iterator[Ints]:
    """The tokens in pieces of at most ``size``, each of which begins with the last token of the one before."""
    for start in range(0, max(1, len(ids) - 1), size - 1):
        yield ids[start : start + size]


def pack_blocks(lengths: list[int], size: int) -> list[list[int]]:
    """Pack pieces into blocks: the longest piece first, each into the fullest block that has room for it.

    Args:
        lengths: tokens of each piece, each at most ``size``.
        size: tokens of a block.

    Returns:
        The positions of the pieces of each block, ascending; the blocks by their first piece.
    """
    blocks: list[list[int]] = []
    with_room: dict[int, list[int]] = {}  # blocks by the tokens that they have room for
    rooms: list[int] = []  # these numbers, ascending
    for at in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        fullest = bisect_left(rooms, lengths[at])
        if fullest == len(rooms):
            block, left = len(blocks), size
            blocks.append([])
        else:
            left = rooms[fullest]
            block = with_room[left].pop()
            if not with_room[left]:
                del with_room[left], rooms[fullest]
        blocks[block].append(at)
        left -= lengths[at]
        if left:
            if left not in with_room:
                insort(rooms, left)
            with_room.setdefault(left, []).append(block)
    return sorted(sorted(block) for block in blocks)
