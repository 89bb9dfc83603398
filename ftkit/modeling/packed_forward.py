"""Run a model on packed sequences: shared prefixes once if that is exact, else each sequence alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch

from ftkit.modeling.attention import TREE_ATTENTION, TreeAttentionMask, own_attention
from ftkit.modeling.cache_kinds import other_attention
from ftkit.modeling.cross_entropy import linear_cross_entropy, token_losses
from ftkit.modeling.divergence import OutputLayer, linear_divergence
from ftkit.modeling.embedding_noise import EmbeddingNoise
from ftkit.modeling.logit_form import PLAIN_LOGITS, logit_form
from ftkit.modeling.logits import logits_at
from ftkit.modeling.prefix_tree import PackedSequence, pack_sequences, shared_length, sort_key
from ftkit.modeling.rope_boundary import rope_boundary
from ftkit.modeling.token_logits import TokenLogits
from ftkit.modeling.tokenized_example import Ints, TokenizedConversation

__all__ = ["PackedForward", "TokenLogprobs", "prefix_sharing_problem"]

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest mean difference of a token's loss (nats), or of a score, by rounding; a wrong mask causes much more."""

_TRIED_ROWS = 100
"""Rows among which the two rows for the trial are chosen."""

Tensor = torch.Tensor


class TokenLogprobs(NamedTuple):
    """Supervised tokens of a packed sequence, sequence by sequence.

    Attributes:
        logprobs: log-probability of each token, float32 [tokens].
        entropies: entropy of each token's distribution in nats, float32 [tokens]; not differentiable.
        sequence_indices: index of each token's sequence, int64 [tokens].
    """

    logprobs: Tensor
    entropies: Tensor
    sequence_indices: Tensor


class PackedForward:
    """Runs a transformers model on packed sequences.

    Args:
        model: a causal language model, or a reward model (sequence classification with one label).
        device: the model's device.
        shared: whether sequences share computation; see :func:`prefix_sharing_problem`. If not, packs must be made
            without sharing, and each of their sequences is computed alone.
        embedding_noise: the noise on the model's embeddings, if there is one.

    Attributes:
        boundary: see :func:`~ftkit.modeling.rope_boundary.rope_boundary`. Of a pack with sequences on both sides, which
            must be made without sharing, each sequence is computed alone.
    """

    def __init__(
        self, model: Any, device: torch.device, *, shared: bool, embedding_noise: EmbeddingNoise | None = None
    ) -> None:
        self.model = model
        self.device = device
        self.shared = shared
        self.embedding_noise = embedding_noise
        self.boundary = rope_boundary(model.config)
        self.logit_form = (logit_form(model) if shared else None) or PLAIN_LOGITS

    def loss(self, pack: PackedSequence, *, is_argmax: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the weighted sum of the token losses.

        Args:
            pack: the packed sequence.
            is_argmax: bool [predictions], filled with whether each target has the highest logit.

        Returns:
            The sum, to call ``backward`` on, and the loss of each prediction [predictions], detached.
        """
        weights = torch.from_numpy(pack.weights).to(self.device)
        if not self.shared:
            losses = self._own_losses(pack, is_argmax=is_argmax)
            return (losses * weights).sum(), losses.detach()
        head = self.model.get_output_embeddings()
        at, targets = self._to_device(pack.logit_indices), self._to_device(pack.targets)
        bias = getattr(head, "bias", None)
        hidden = self._output_input(pack)[at]
        return linear_cross_entropy(
            hidden, head.weight, targets, weights, bias, form=self.logit_form, is_argmax=is_argmax
        )

    def states(self, pack: PackedSequence) -> Tensor:
        """Compute what the predictions of a pack are made of, to compare them with those of another state of the model.

        Args:
            pack: the packed sequence.

        Returns:
            What the output layer gets [predictions, d]; logits [predictions, V] where each sequence is computed alone.
        """
        if self.shared:
            return self._output_input(pack)[self._to_device(pack.logit_indices)]
        ids, at = self._to_device(pack.ids), self._to_device(pack.logit_indices)
        parts, asked = [], []
        for root in pack.segments:
            inside = torch.nonzero((at >= root.start) & (at < root.end)).squeeze(1)
            asked.append(inside)
            parts.append(logits_at(self.model, ids[root.start : root.end].unsqueeze(0), at[inside] - root.start))
        return torch.cat(parts)[torch.argsort(torch.cat(asked))]

    def state_losses(self, pack: PackedSequence, states: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the weighted sum of the token losses from :meth:`states`; as :meth:`loss`, which needs less memory.

        Args:
            pack: the packed sequence.
            states: its states.

        Returns:
            The sum, to call ``backward`` on, and the loss of each prediction [predictions], detached.
        """
        weights, targets = torch.from_numpy(pack.weights).to(self.device), self._to_device(pack.targets)
        if self.shared:
            layer = self.output_layer
            return linear_cross_entropy(states, layer.weight, targets, weights, layer.bias, form=layer.form)
        losses = torch.nn.functional.cross_entropy(states.float(), targets, reduction="none")
        return (losses * weights).sum(), losses.detach()

    def divergence(
        self, pack: PackedSequence, states: Tensor, reference: Tensor, reference_layer: OutputLayer
    ) -> tuple[Tensor, Tensor]:
        """Compute the weighted sum of KL(reference ‖ model) over the predictions of a pack.

        Args:
            pack: the packed sequence.
            states: the model's :meth:`states`.
            reference: the reference's, detached.
            reference_layer: the reference's output layer.

        Returns:
            The sum in nats, to call ``backward`` on, and the divergence of each prediction [predictions], detached.
        """
        weights = torch.from_numpy(pack.weights).to(self.device)
        if self.shared:
            return linear_divergence(states, self.output_layer, reference, reference_layer, weights)
        wanted, found = reference.float().log_softmax(dim=-1), states.float().log_softmax(dim=-1)
        divergences = (wanted.exp() * (wanted - found)).sum(dim=-1)
        return (divergences * weights).sum(), divergences.detach()

    @property
    def output_layer(self) -> OutputLayer:
        """The model's output layer as it is now."""
        head = self.model.get_output_embeddings()
        return OutputLayer(head.weight, getattr(head, "bias", None), self.logit_form)

    def sequence_logprobs(self, pack: PackedSequence) -> Tensor:
        """Compute the log-probability of each sequence's supervised tokens.

        Args:
            pack: the packed sequence.

        Returns:
            Sums over the tokens, float32 [sequences], differentiable.
        """
        if self.shared:
            head = self.model.get_output_embeddings()
            hidden = self._output_input(pack)[self._to_device(pack.logit_indices)]
            bias = getattr(head, "bias", None)
            losses = token_losses(hidden, head.weight, self._to_device(pack.targets), bias, form=self.logit_form)
        else:
            losses = self._own_losses(pack)
        sums = torch.zeros(pack.sequences, device=self.device)
        return sums.index_add(
            0, self._to_device(pack.sequence_indices), -losses[self._to_device(pack.prediction_indices)]
        )

    def token_logprobs(self, pack: PackedSequence, temperature: float = 1.0) -> TokenLogprobs:
        """Compute the log-probability of each supervised token.

        Args:
            pack: the packed sequence.
            temperature: by which logits are divided.

        Returns:
            The tokens, with differentiable log-probabilities.
        """
        entropies = torch.empty(len(pack.logit_indices), device=self.device)
        if self.shared:
            head = self.model.get_output_embeddings()
            bias, targets = getattr(head, "bias", None), self._to_device(pack.targets)
            hidden = self._output_input(pack)[self._to_device(pack.logit_indices)]
            form = self.logit_form.at_temperature(temperature)
            losses = token_losses(hidden, head.weight, targets, bias, form=form, entropies=entropies)
        else:
            losses = self._own_losses(pack, temperature, entropies)
        # Predictions of a sequence are already in the order of its tokens: a pack is laid out from the root.
        order = np.argsort(pack.sequence_indices, kind="stable")
        which = self._to_device(pack.prediction_indices[order])
        return TokenLogprobs(-losses[which], entropies[which], self._to_device(pack.sequence_indices[order]))

    def token_logits(self, pack: PackedSequence) -> TokenLogits:
        """Prepare the logits of each supervised token, which :func:`~ftkit.modeling.token_logits.map_logits` computes.

        Args:
            pack: the packed sequence.

        Returns:
            The tokens, sequence by sequence.
        """
        order = np.argsort(pack.sequence_indices, kind="stable")
        which, layer = self._to_device(pack.prediction_indices[order]), self.output_layer

        def head(inputs: Tensor) -> Tensor:
            made = torch.nn.functional.linear(inputs, layer.weight, layer.bias) if self.shared else inputs
            return made.float()

        return TokenLogits(self.states(pack)[which], head, self._to_device(pack.targets)[which])

    def scores(self, pack: PackedSequence) -> Tensor:
        """Compute the score of each sequence, from its last token.

        Args:
            pack: the packed sequence.

        Returns:
            Scores, float32 [sequences], differentiable.
        """
        hidden = self._hidden(pack)[self._to_device(pack.last_tokens)]
        layer = self.model.score
        scores: Tensor = layer(hidden.to(next(layer.parameters()).dtype)).squeeze(-1).float()
        return scores

    def _output_input(self, pack: PackedSequence) -> Tensor:
        """What the output layer gets [T, d]."""
        scale = self.logit_form.input_scale
        return self._hidden(pack) if scale == 1 else self._hidden(pack) * scale

    def _hidden(self, pack: PackedSequence) -> Tensor:
        """Final hidden states [T, d]."""
        decoder = self.model.get_decoder()
        ids = self._to_device(pack.ids)
        if not self.shared or self._crosses_boundary(pack):
            alone = [
                decoder(input_ids=ids[root.start : root.end].unsqueeze(0), use_cache=False).last_hidden_state[0]
                for root in pack.segments
            ]
            return torch.cat(alone)
        noise = self.embedding_noise
        with nullcontext() if noise is None else noise.of_pack(pack, self.device):
            found: Tensor = decoder(
                input_ids=ids.unsqueeze(0),
                position_ids=self._to_device(pack.positions).unsqueeze(0),
                use_cache=False,
                tree=TreeAttentionMask.from_pack(pack, self.device),
            ).last_hidden_state[0]
        return found

    def _crosses_boundary(self, pack: PackedSequence) -> bool:
        ends = pack.positions[pack.last_tokens]
        return self.boundary is not None and bool((ends < self.boundary).any() and (ends >= self.boundary).any())

    def _own_losses(
        self,
        pack: PackedSequence,
        temperature: float = 1.0,
        entropies: Tensor | None = None,
        is_argmax: Tensor | None = None,
    ) -> Tensor:
        """Losses [predictions] from the logits of the model's own forward, sequence by sequence."""
        ids, at, targets = (self._to_device(x) for x in (pack.ids, pack.logit_indices, pack.targets))
        losses = torch.empty(len(at), device=self.device)
        for root in pack.segments:
            asked = torch.nonzero((at >= root.start) & (at < root.end)).squeeze(1)
            if len(asked):
                row, wanted = ids[root.start : root.end].unsqueeze(0), at[asked] - root.start
                logits = logits_at(self.model, row, wanted).float()
                if temperature != 1:
                    logits = logits / temperature
                if entropies is not None:
                    logs = logits.detach().log_softmax(dim=-1)
                    entropies[asked] = -torch.linalg.vecdot(logs.exp(), logs)
                if is_argmax is not None:
                    is_argmax[asked] = logits.detach().argmax(dim=-1) == targets[asked]
                losses = losses.index_copy(
                    0, asked, torch.nn.functional.cross_entropy(logits, targets[asked], reduction="none")
                )
        return losses

    def _to_device(self, array: Ints) -> Tensor:
        return torch.from_numpy(np.asarray(array)).to(self.device)


def prefix_sharing_problem(model: Any, device: torch.device, sequences: list[TokenizedConversation]) -> str | None:
    """Say why a model cannot compute shared prefixes once.

    Checks the config first (linear attention, …), then the model itself: two rows, packed and alone, must have the same
    losses (or scores, of a reward model). A third row is tried if it alone is longer than a sliding window.

    Args:
        model: a transformers model.
        device: its device.
        sequences: the rows.

    Returns:
        The reason, as part of a sentence; None if sharing is exact.
    """
    config = model.config.get_text_config()
    other = other_attention(model.config)
    if other is not None:
        return f"{other}, and a tree of sequences needs plain attention"
    if config._attn_implementation != TREE_ATTENTION:
        return "its implementation in transformers does not support ftkit's attention"
    boundary = rope_boundary(model.config)
    tried = [each for each in sequences if boundary is None or len(each.ids) <= boundary]
    rows = _trial_rows((tried or sequences)[:_TRIED_ROWS], getattr(config, "sliding_window", None))
    together = pack_sequences(rows)
    scores = model.get_output_embeddings() is None
    if not scores and logit_form(model) is None:
        return "it changes the outputs of its output layer in a way that ftkit does not know"
    with torch.no_grad():
        with _own_attention(model):
            expected = sum(
                _sum(PackedForward(model, device, shared=False), pack_sequences([each]), scores=scores) for each in rows
            )
        try:
            found = _sum(PackedForward(model, device, shared=True), together, scores=scores)
        except (TypeError, AttributeError, RuntimeError) as error:
            return f"its implementation does not support a tree of sequences ({type(error).__name__}: {error})"
    allowed = _TOLERANCE.get(model.dtype, 2e-2) * (len(rows) if scores else float(together.weights.sum()))
    if not abs(found - expected) <= allowed:
        what = "score" if scores else "loss"
        return f"its {what} on {len(rows)} packed rows is {found:.4f}, on the same rows alone {expected:.4f}"
    return None


@contextmanager
def _own_attention(model: Any) -> Iterator[None]:
    """Give a model transformers' own attention and masks inside a ``with`` block."""
    model.set_attn_implementation(own_attention(model))
    try:
        yield
    finally:
        model.set_attn_implementation(TREE_ATTENTION)


def _sum(forward: PackedForward, pack: PackedSequence, *, scores: bool) -> float:
    return float(forward.scores(pack).sum() if scores else forward.loss(pack)[0])


def _trial_rows(sequences: list[TokenizedConversation], window: int | None) -> list[TokenizedConversation]:
    """The two rows with the longest shared prefix, of which neither is a prefix of the other.

    Returns:
        The rows; the longest one is among them if only it shows what a sliding window does.
    """
    by_ids, longest = sorted(sequences, key=sort_key), max(len(each.ids) for each in sequences)
    best, latest = [by_ids[0], by_ids[0]], -1
    for first, second in itertools.pairwise(by_ids):
        shared = shared_length(first.ids, second.ids)
        if latest < shared < len(first.ids):
            best, latest = [first, second], shared
    if window and all(len(each.ids) <= window for each in best):
        best += [each for each in sequences if len(each.ids) > window and len(each.ids) == longest][:1]
    return best
