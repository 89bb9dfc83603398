"""A model on packs: shared beginnings computed once where that is exact, row by row where it is not."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import torch

from ftkit.modeling.attention import TREE_ATTENTION, TreeAttentionMask
from ftkit.modeling.cross_entropy import linear_cross_entropy, token_losses
from ftkit.modeling.prefix_tree import PackedSequence, pack_sequences, shared_length, sort_key
from ftkit.modeling.tokenized_example import Ints, TokenizedConversation

__all__ = ["PackedForward", "TokenLogprobs", "prefix_sharing_problem"]

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest mean difference of a token's loss (nats), or of a score, that rounding may cause; a wrong mask causes far
more."""

_LOOKED_AT = 100
"""Rows among which two are sought to try the model with."""

Tensor = torch.Tensor


class TokenLogprobs(NamedTuple):
    """Supervised tokens of a pack, all of its first sequence, then all of its second, …

    Attributes:
        logprobs: of each token, float32 [A].
        entropies: of the distribution it was drawn from, in nats, float32 [A]; cannot be differentiated.
        sequence_indices: the number of its sequence, int64 [A].
    """

    logprobs: Tensor
    entropies: Tensor
    sequence_indices: Tensor


class PackedForward:
    """Computes packs with a transformers model.

    Args:
        model: a causal language model, or one for sequence classification with a single label, which scores.
        device: where it is.
        shared: whether sequences may share computation; see :func:`prefix_sharing_problem`. Without it, packs must
            have been made without sharing, and each of their sequences is computed alone.
    """

    def __init__(self, model: Any, device: torch.device, *, shared: bool) -> None:
        self.model = model
        self.device = device
        self.shared = shared

    def loss(self, one: PackedSequence, *, likeliest: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weighted sum of the pack's token losses (call ``backward`` on it), and each prediction's own loss [S].

        Args:
            likeliest: where it is put whether each target is the token that the model holds likeliest, bool [S].
        """
        weights = torch.from_numpy(one.weights).to(self.device)
        if not self.shared:
            losses = self._own_losses(one, likeliest=likeliest)
            return (losses * weights).sum(), losses.detach()
        head = self.model.get_output_embeddings()
        at, targets = self._here(one.logit_indices), self._here(one.targets)
        bias = getattr(head, "bias", None)
        return linear_cross_entropy(self._hidden(one)[at], head.weight, targets, weights, bias, likeliest=likeliest)

    def sequence_logprobs(self, one: PackedSequence) -> Tensor:
        """Log-probability of each sequence's supervised tokens, added up, float32 [N]; can be differentiated."""
        if self.shared:
            head = self.model.get_output_embeddings()
            hidden = self._hidden(one)[self._here(one.logit_indices)]
            losses = token_losses(hidden, head.weight, self._here(one.targets), getattr(head, "bias", None))
        else:
            losses = self._own_losses(one)
        sums = torch.zeros(one.sequences, device=self.device)
        return sums.index_add(0, self._here(one.sequence_indices), -losses[self._here(one.prediction_indices)])

    def token_logprobs(self, one: PackedSequence, temperature: float = 1.0) -> TokenLogprobs:
        """Each supervised token of each sequence, sequence by sequence; log-probabilities can be differentiated."""
        entropies = torch.empty(len(one.logit_indices), device=self.device)
        if self.shared:
            head = self.model.get_output_embeddings()
            bias = getattr(head, "bias", None)
            hidden = self._hidden(one)[self._here(one.logit_indices)] / temperature
            bias = None if bias is None else bias / temperature
            losses = token_losses(hidden, head.weight, self._here(one.targets), bias, entropies=entropies)
        else:
            losses = self._own_losses(one, temperature, entropies)
        # Of one sequence, predictions stand in the order of its tokens already: a pack is laid out from the root on.
        order = np.argsort(one.sequence_indices, kind="stable")
        which = self._here(one.prediction_indices[order])
        return TokenLogprobs(-losses[which], entropies[which], self._here(one.sequence_indices[order]))

    def scores(self, one: PackedSequence) -> Tensor:
        """The score of each sequence, read off its last token, float32 [N]; can be differentiated."""
        hidden = self._hidden(one)[self._here(one.last_tokens)]
        layer = self.model.score
        scores: Tensor = layer(hidden.to(next(layer.parameters()).dtype)).squeeze(-1).float()
        return scores

    def _hidden(self, one: PackedSequence) -> Tensor:
        """Final hidden states [T, d]."""
        decoder = self.model.get_decoder()
        ids = self._here(one.ids)
        if not self.shared:
            alone = [
                decoder(input_ids=ids[root.start : root.end].unsqueeze(0), use_cache=False).last_hidden_state[0]
                for root in one.segments
            ]
            return torch.cat(alone)
        found: Tensor = decoder(
            input_ids=ids.unsqueeze(0),
            position_ids=self._here(one.positions).unsqueeze(0),
            use_cache=False,
            tree=TreeAttentionMask.from_pack(one, self.device),
        ).last_hidden_state[0]
        return found

    def _own_losses(
        self,
        one: PackedSequence,
        temperature: float = 1.0,
        entropies: Tensor | None = None,
        likeliest: Tensor | None = None,
    ) -> Tensor:
        """Losses [S] from the logits that the model itself makes of each sequence, whatever it does to them."""
        ids, at, targets = (self._here(x) for x in (one.ids, one.logit_indices, one.targets))
        losses = torch.empty(len(at), device=self.device)
        for root in one.segments:
            asked = torch.nonzero((at >= root.start) & (at < root.end)).squeeze(1)
            if len(asked):
                row, wanted = ids[root.start : root.end].unsqueeze(0), at[asked] - root.start
                logits = self.model(input_ids=row, use_cache=False, logits_to_keep=wanted).logits[0].float()
                if temperature != 1:
                    logits = logits / temperature
                if entropies is not None:
                    logs = logits.detach().log_softmax(dim=-1)
                    entropies[asked] = -torch.linalg.vecdot(logs.exp(), logs)
                if likeliest is not None:
                    likeliest[asked] = logits.detach().argmax(dim=-1) == targets[asked]
                losses = losses.index_copy(
                    0, asked, torch.nn.functional.cross_entropy(logits, targets[asked], reduction="none")
                )
        return losses

    def _here(self, array: Ints) -> Tensor:
        return torch.from_numpy(np.asarray(array)).to(self.device)


def prefix_sharing_problem(model: Any, device: torch.device, sequences: list[TokenizedConversation]) -> str | None:
    """Why this model must compute its rows one by one, or ``None`` when sharing is exact.

    What the config tells is asked first (sliding windows, linear attention, …); then the model itself: two rows, packed
    and alone, must have the same losses (or scores, if it scores).
    """
    config = model.config.get_text_config()
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
    together = pack_sequences(pair)
    scores = model.get_output_embeddings() is None
    with torch.no_grad():
        expected = sum(
            _sum(PackedForward(model, device, shared=False), pack_sequences([one]), scores=scores) for one in pair
        )
        try:
            found = _sum(PackedForward(model, device, shared=True), together, scores=scores)
        except (TypeError, AttributeError, RuntimeError) as error:
            return f"its implementation does not take a tree of rows ({type(error).__name__}: {error})"
    allowed = _TOLERANCE.get(model.dtype, 2e-2) * (2 if scores else float(together.weights.sum()))
    if not abs(found - expected) <= allowed:
        what = "score" if scores else "loss"
        return f"its {what} on two packed rows is {found:.4f}, on the same rows alone {expected:.4f}"
    return None


def _sum(forward: PackedForward, one: PackedSequence, *, scores: bool) -> float:
    return float(forward.scores(one).sum() if scores else forward.loss(one)[0])


def _telling_pair(sequences: list[TokenizedConversation]) -> tuple[TokenizedConversation, TokenizedConversation]:
    """The two rows that part latest. A row that begins another parts from it nowhere, and shows nothing."""
    by_ids = sorted(sequences, key=sort_key)
    best, latest = (by_ids[0], by_ids[0]), -1
    for first, second in itertools.pairwise(by_ids):
        shared = shared_length(first.ids, second.ids)
        if latest < shared < len(first.ids):
            best, latest = (first, second), shared
    return best
