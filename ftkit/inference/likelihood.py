"""How likely a loaded model finds texts, and how far its probabilities are from another model's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ftkit.errors import ModelError
from ftkit.modeling.logits import logits_at
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.text_encoder import plain_ids
from ftkit.modeling.tokenized_example import Ints, TokenizedConversation
from ftkit.task import Message

__all__ = ["divergences", "text_losses"]


_BATCH_TOKENS = 128
"""Tokens of short texts that share a pass. Their logits over the whole vocabulary are in memory."""


@torch.inference_mode()
def text_losses(pretrained: Pretrained, texts: Sequence[str]) -> list[tuple[float, int]]:
    """Compute the negative log-likelihood of each text by itself.

    Args:
        pretrained: the loaded model.
        texts: plain texts, without chat template; a text longer than the model takes is cut.

    Returns:
        For each text the sum in nats over all tokens but the first, and the number of these tokens.
    """
    by_length: dict[int, list[tuple[int, Ints]]] = {}
    for index, text in enumerate(texts):
        ids = np.asarray(plain_ids(pretrained.tokenizer, text), dtype=np.int64)
        ids = ids[: pretrained.max_length]
        by_length.setdefault(len(ids), []).append((index, ids))
    losses: list[tuple[float, int]] = [(0.0, 0)] * len(texts)
    for length, group in by_length.items():
        if length < 2:
            continue
        size = max(1, _BATCH_TOKENS // length)
        # Texts of one length need no padding, which some families do not mask.
        for batch in (group[start : start + size] for start in range(0, len(group), size)):
            for (index, _), loss in zip(batch, _losses(pretrained.model, [ids for _, ids in batch]), strict=True):
                losses[index] = (loss, length - 1)
    return losses


def _losses(model: Any, texts: Sequence[Ints]) -> list[float]:
    """Negative log-likelihoods of texts of one length."""
    if len(texts) == 1:
        logits = _logits(model, texts[0], np.arange(len(texts[0]) - 1)).unsqueeze(0)
    else:
        rows = torch.from_numpy(np.stack(texts)).to(model.device)
        logits = model(input_ids=rows, use_cache=False).logits[:, :-1].float().cpu()
    following = torch.from_numpy(np.stack(texts))[:, 1:, None]
    return [-float(loss) for loss in logits.log_softmax(dim=-1).gather(2, following).sum(dim=(1, 2))]


def divergences(
    with_base: Callable[[Callable[[Pretrained], Any]], Any],
    with_tuned: Callable[[Callable[[Pretrained], Any]], Any],
    conversations: Sequence[Sequence[Message]],
) -> list[tuple[float, int]]:
    """Compute KL(base ‖ tuned) over the last turn of each conversation. Both models are in memory.

    Args:
        with_base: calls a function with the loaded base model, in the thread that may use it.
        with_tuned: the same for the tuned model, whose chat template renders the conversations.
        conversations: each ends with an assistant turn.

    Returns:
        For each conversation the sum in nats over the tokens of its last turn, and the number of these tokens.

    Raises:
        ModelError: the models have different vocabularies.
    """
    found = []
    for messages in conversations:
        sequence, name, second = with_tuned(lambda tuned: _encode(tuned, messages))  # noqa: B023  (called at once)
        base_name, first = with_base(lambda base: (base.source.name, _answer_logits(base, sequence)))  # noqa: B023
        if first.shape != second.shape:
            raise ModelError(
                f"{base_name} has a vocabulary of {first.shape[-1]} tokens, {name} one of {second.shape[-1]}: their "
                "probabilities cannot be compared"
            )
        p, q = first.log_softmax(dim=-1), second.log_softmax(dim=-1)
        found.append((float((p.exp() * (p - q)).sum(dim=-1).clamp(min=0).sum()), len(first)))
    return found


def _encode(tuned: Pretrained, messages: Sequence[Message]) -> tuple[TokenizedConversation, str, torch.Tensor]:
    sequence = tuned.chat_template.encode_answer(messages)
    return sequence, tuned.source.name, _answer_logits(tuned, sequence)


@torch.inference_mode()
def _answer_logits(pretrained: Pretrained, sequence: TokenizedConversation) -> torch.Tensor:
    return _logits(pretrained.model, sequence.ids, np.flatnonzero(sequence.supervised) - 1)


def _logits(model: Any, ids: Ints, positions: Ints) -> torch.Tensor:
    """Logits at ``positions``: ``[positions, vocabulary]``, float32 on the CPU."""
    rows = torch.from_numpy(np.asarray(ids, dtype=np.int64)).unsqueeze(0).to(model.device)
    wanted = torch.from_numpy(np.asarray(positions, dtype=np.int64)).to(model.device)
    return logits_at(model, rows, wanted).float().cpu()
