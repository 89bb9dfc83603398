"""How likely a loaded model finds texts, and how far its probabilities are from another model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ftkit.errors import ModelError
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.tokenized_example import Ints
from ftkit.task import Message

__all__ = ["divergences", "text_losses"]


@torch.inference_mode()
def text_losses(pretrained: Pretrained, texts: Sequence[str]) -> list[tuple[float, int]]:
    """Negative log-likelihood of each text by itself, in nats, and of how many tokens: all but the first.

    Plain text, without chat template; a text longer than the model takes is cut there.
    """
    found = []
    for text in texts:
        ids = np.asarray(pretrained.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)
        ids = ids[: pretrained.max_length]
        loss, count = 0.0, max(0, len(ids) - 1)
        if count:
            told = _logits(pretrained.model, ids, np.arange(count)).log_softmax(dim=-1)
            loss = -float(told.gather(1, torch.from_numpy(ids[1:])[:, None]).sum())
        found.append((loss, count))
    return found


@torch.inference_mode()
def divergences(
    base: Pretrained, tuned: Pretrained, conversations: Sequence[Sequence[Message]]
) -> list[tuple[float, int]]:
    """KL(base ‖ tuned) summed over the tokens of the last turn of each conversation, in nats, and how many they are.

    Both models are in memory. The conversation is rendered as the tuned model's template has it.

    Raises:
        ModelError: the models have different vocabularies.
    """
    found = []
    for messages in conversations:
        sequence = tuned.chat_template.encode_answer(messages)
        places = np.flatnonzero(sequence.supervised) - 1
        first = _logits(base.model, sequence.ids, places)
        second = _logits(tuned.model, sequence.ids, places)
        if first.shape != second.shape:
            raise ModelError(
                f"{base.source.name} has a vocabulary of {first.shape[-1]} tokens, {tuned.source.name} one of "
                f"{second.shape[-1]}: their probabilities cannot be compared"
            )
        one, two = first.log_softmax(dim=-1), second.log_softmax(dim=-1)
        found.append((float((one.exp() * (one - two)).sum(dim=-1).clamp(min=0).sum()), len(places)))
    return found


def _logits(model: Any, ids: Ints, places: Ints) -> torch.Tensor:
    """Logits at ``places`` [places, vocabulary], float32 on the CPU."""
    rows = torch.from_numpy(np.asarray(ids, dtype=np.int64)).unsqueeze(0).to(model.device)
    wanted = torch.from_numpy(np.asarray(places, dtype=np.int64)).to(model.device)
    logits: torch.Tensor = model(input_ids=rows, use_cache=False, logits_to_keep=wanted).logits[0].float().cpu()
    return logits
