"""Which tokens of a packed sequence attend to which, also with sliding windows.

A token attends to the tokens before it on its path through the tree (see :mod:`ftkit.modeling.prefix_tree`). With a
window of W tokens it attends to those whose position in the row is less than W before its own. Positions along a path
are consecutive, so segments are cut at multiples of W: a token attends to all earlier tokens of its own block of W
positions, and in the block before to those whose offset is greater than its own. Therefore one triangle of W x W values
masks every pair of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ftkit.modeling.prefix_tree import PackedSequence, Segment
from ftkit.modeling.tokenized_example import Ints

__all__ = ["Span", "TreeAttentionMask"]

Tensor = torch.Tensor


class Span(NamedTuple):
    """Queries and keys of one call of an attention kernel.

    Attributes:
        q0: index of the first query.
        q1: index after the last query.
        k0: index of the first key.
        k1: index after the last key.
        causal: whether query ``q0 + i`` attends to keys up to ``k0 + i`` only.
        band: offsets in their blocks of the first query and the first key, if a query attends to the keys of a greater
            offset only; None if it attends to all.
    """

    q0: int
    q1: int
    k0: int
    k1: int
    causal: bool
    band: tuple[int, int] | None = None


class _Piece(NamedTuple):
    start: int
    end: int
    position: int
    """Position of its first token in its row."""


class TreeAttentionMask:
    """The attention mask of a packed sequence.

    Args:
        segments: its segments.
        positions: position of each token in its row, int64 [tokens].
        device: where attention is computed.
    """

    def __init__(self, segments: Sequence[Segment], positions: Ints, device: torch.device) -> None:
        self._segments = segments
        self._positions = positions
        self._longest = int(positions.max(initial=0)) + 1
        self._device = device
        self._spans: dict[int | None, tuple[Span, ...]] = {}
        self._block_masks: dict[int | None, Any] = {}
        self._triangles: dict[tuple[int, torch.dtype], Tensor] = {}

    @classmethod
    def from_pack(cls, pack: PackedSequence, device: torch.device) -> TreeAttentionMask:
        """Make the mask of a packed sequence.

        Args:
            pack: the packed sequence.
            device: where it is computed.

        Returns:
            The mask.
        """
        return cls(pack.segments, pack.positions, device)

    @classmethod
    def of_row(cls, length: int, device: torch.device) -> TreeAttentionMask:
        """Make the mask of one row.

        Args:
            length: its tokens.
            device: where it is computed.

        Returns:
            The mask.
        """
        return cls((Segment(0, length, length),), np.arange(length), device)

    def spans(self, window: int | None = None) -> tuple[Span, ...]:
        """List the calls of a kernel that cover the mask once.

        Args:
            window: how many tokens a token attends to, itself included; None for all.

        Returns:
            The calls. The causal ones come first, and cover each token once.
        """
        window = self._effective(window)
        if window not in self._spans:
            self._spans[window] = self._all_spans() if window is None else self._window_spans(window)
        return self._spans[window]

    def band(self, span: Span, window: int, dtype: torch.dtype) -> Tensor:
        """Return what is added to the scores of a span with a band.

        Args:
            span: the span.
            window: the window.
            dtype: of the scores.

        Returns:
            0 or -inf, a view [1, 1, queries, keys].
        """
        if (window, dtype) not in self._triangles:
            hidden = torch.ones(window, window, dtype=torch.bool, device=self._device).tril()
            zeros = torch.zeros(window, window, dtype=dtype, device=self._device)
            self._triangles[window, dtype] = zeros.masked_fill_(hidden, -torch.inf)[None, None]
        query, key = span.band or (0, 0)
        triangle = self._triangles[window, dtype]
        return triangle[:, :, query : query + span.q1 - span.q0, key : key + span.k1 - span.k0]

    def block_mask(self, window: int | None = None) -> Any:
        """Return FlexAttention's form of the mask.

        Args:
            window: see :meth:`spans`.

        Returns:
            A ``BlockMask``.
        """
        window = self._effective(window)
        if window not in self._block_masks:
            self._block_masks[window] = self._make_block_mask(window)
        return self._block_masks[window]

    def _effective(self, window: int | None) -> int | None:
        return None if window is None or window >= self._longest else window

    def _all_spans(self) -> tuple[Span, ...]:
        # Each token's own segment first: it starts the sums to which the ancestors are joined.
        own = [Span(each.start, each.end, each.start, each.end, True) for each in self._segments]
        ancestors = [
            Span(each.end, each.subtree_end, each.start, each.end, False)
            for each in self._segments
            if each.subtree_end > each.end
        ]
        return (*own, *ancestors)

    def _window_spans(self, window: int) -> tuple[Span, ...]:
        own: list[Span] = []
        others: list[Span] = []
        path: list[tuple[int, list[_Piece]]] = []
        """The ancestors of the segment, and itself: where their subtrees end, and their pieces."""
        for segment in self._segments:
            while path and path[-1][0] <= segment.start:
                path.pop()
            pieces = self._pieces(segment, window)
            path.append((segment.subtree_end, pieces))
            for piece in pieces:
                own.append(Span(piece.start, piece.end, piece.start, piece.end, True))
                for _, earlier in path:
                    others += _visible(piece, earlier, window)
        return (*own, *others)

    def _pieces(self, segment: Segment, window: int) -> list[_Piece]:
        found, start = [], segment.start
        position = int(self._positions[start])
        while start < segment.end:
            end = min(segment.end, start + window - position % window)
            found.append(_Piece(start, end, position))
            start, position = end, position + end - start
        return found

    def _make_block_mask(self, window: int | None) -> Any:
        from torch.nn.attention.flex_attention import create_block_mask

        ends = [each.subtree_end for each in self._segments]
        lengths = [each.end - each.start for each in self._segments]
        reach = torch.from_numpy(np.repeat(np.array(ends, dtype=np.int64), lengths)).to(self._device)
        positions = torch.from_numpy(np.asarray(self._positions)).to(self._device)

        def path(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & (query < reach[key])

        def path_in_window(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return path(batch, head, query, key) & (positions[query] - positions[key] < most)

        length, most = int(reach.shape[0]), window or self._longest
        rule = path if window is None else path_in_window
        return create_block_mask(rule, B=None, H=None, Q_LEN=length, KV_LEN=length, device=str(self._device))


def _visible(piece: _Piece, earlier: Sequence[_Piece], window: int) -> list[Span]:
    """The spans of a piece's queries and the pieces of one segment on its path."""
    spans = []
    block, offset = divmod(piece.position, window)
    for other in earlier:
        if other.start >= piece.start:
            break
        other_block, other_offset = divmod(other.position, window)
        if other_block == block:
            spans.append(Span(piece.start, piece.end, other.start, other.end, False))
        elif other_block == block - 1:
            last = other_offset + other.end - other.start - 1
            queries = min(piece.end - piece.start, last - offset)  # the others see none of these keys
            if queries > 0:
                band = (offset, other_offset)
                spans.append(Span(piece.start, piece.start + queries, other.start, other.end, False, band))
    return spans
