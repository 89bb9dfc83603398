"""A model's loss on packs: shared beginnings computed once where that is exact, row by row where it is not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from ftkit.engine.attention import TREE_ATTENTION, Tree
from ftkit.engine.loss import linear_cross_entropy
from ftkit.engine.rendered import Rendered
from ftkit.engine.tree import Pack, pack, shared_length, sort_key

__all__ = ["Forward", "why_not_shared"]

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest mean difference of a token's loss (nats) that rounding may cause; a wrong mask causes far more."""

_LOOKED_AT = 100
"""Rows among which two are sought to try the model with."""


class Forward:
    """Computes losses of packs with a transformers causal language model.

    Args:
        causal: the model.
        device: where it is.
        shared: whether sequences may share computation; see :func:`why_not_shared`.
    """

    def __init__(self, causal: Any, device: torch.device, *, shared: bool) -> None:
        self.causal = causal
        self.device = device
        self.shared = shared

    def loss(self, one: Pack) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted sum of the pack's token losses (call ``backward`` on it), and each prediction's own loss [S]."""
        ids, positions, at, targets = (
            torch.from_numpy(np.asarray(x)).to(self.device) for x in (one.ids, one.positions, one.at, one.targets)
        )
        weights = torch.from_numpy(one.weights).to(self.device)
        if not self.shared:
            logits = self.causal(input_ids=ids.unsqueeze(0), use_cache=False).logits[0, at]
            losses = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
            return (losses * weights).sum(), losses.detach()
        hidden = self.causal.get_decoder()(
            input_ids=ids.unsqueeze(0),
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            tree=Tree.of(one, self.device),
        ).last_hidden_state[0]
        head = self.causal.get_output_embeddings()
        return linear_cross_entropy(hidden[at], head.weight, targets, weights, getattr(head, "bias", None))


def why_not_shared(causal: Any, device: torch.device, sequences: list[Rendered]) -> str | None:
    """Why this model must compute its rows one by one, or ``None`` when sharing is exact.

    What the config tells is asked first (sliding windows, linear attention, …); then the model itself: two rows, packed
    and alone, must have the same losses.
    """
    config = causal.config.get_text_config()
    longest = max(len(one.ids) for one in sequences)
    window = getattr(config, "sliding_window", None)
    if window is not None and getattr(config, "use_sliding_window", True) and window < longest:
        return f"its attention slides over windows of {window} tokens, and the longest row has {longest}"
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if kinds:
        return f"it has layers of kind {', '.join(sorted(kinds))}, which cannot follow a tree of rows"
    if config._attn_implementation != TREE_ATTENTION:
        return "its implementation in transformers does not take ftkit's attention"
    pair = _telling_pair(sequences[:_LOOKED_AT])
    together = pack(pair)
    alone = Forward(causal, device, shared=False)
    with torch.no_grad():
        expected = sum(float(alone.loss(pack([one]))[0]) for one in pair)
        try:
            found = float(Forward(causal, device, shared=True).loss(together)[0])
        except (TypeError, AttributeError, RuntimeError) as error:
            return f"its implementation does not take a tree of rows ({type(error).__name__}: {error})"
    allowed = _TOLERANCE.get(causal.dtype, 2e-2) * float(together.weights.sum())
    if not abs(found - expected) <= allowed:
        return f"its loss on two packed rows is {found:.4f}, on the same rows alone {expected:.4f}"
    return None


def _telling_pair(sequences: list[Rendered]) -> tuple[Rendered, Rendered]:
    """The two rows that part latest. A row that begins another parts from it nowhere, and shows nothing."""
    by_ids = sorted(sequences, key=sort_key)
    best, latest = (by_ids[0], by_ids[0]), -1
    for first, second in itertools.pairwise(by_ids):
        shared = shared_length(first.ids, second.ids)
        if latest < shared < len(first.ids):
            best, latest = (first, second), shared
    return best
