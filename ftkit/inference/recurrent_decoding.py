"""Answers of models whose layers carry a state along, each computed by itself, token by token in turn.

A state cannot skip padding, nor go back to where two prompts part. So nothing is shared, and a prompt is read at once.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from transformers import DynamicCache

from ftkit.inference.continuous_batching import Continuation, next_tokens
from ftkit.inference.multi_lora import Mixed

__all__ = ["Apart"]


class Apart:
    """As :class:`~ftkit.inference.continuous_batching.Stepping`, for a model that ``carries_state``.

    Args:
        mixed: the model.
        rows: answers on their way at once; each takes the memory of its own cache.
    """

    def __init__(self, mixed: Mixed, *, rows: int) -> None:
        self._mixed, self._most = mixed, rows
        self._open: list[Continuation] = []
        self._waiting: deque[Continuation] = deque()

    @property
    def open(self) -> int:
        """Answers that are being computed."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Answers that wait for their turn."""
        return len(self._waiting)

    def join(self, one: Continuation) -> None:
        """Let an answer take part from the next step on, as soon as it is its turn."""
        self._waiting.append(one)

    def leave(self, one: Continuation) -> None:
        """Drop an answer wherever it is; nothing more is computed for it."""
        if one in self._waiting:
            self._waiting.remove(one)
        elif one in self._open:
            self._open.remove(one)

    def clear(self) -> None:
        """Drop every answer on its way."""
        self._open.clear()
        self._waiting.clear()

    @torch.inference_mode()
    def step(self) -> None:
        """Read one prompt that waits, and compute the next token of every answer on its way."""
        rows = [*self._open]
        if self._waiting and len(self._open) < self._most:
            one = self._waiting.popleft()
            one.cache = DynamicCache(config=self._mixed.model.config)
            self._open.append(one)
            rows.append(one)
        for one in next_tokens(rows, torch.cat([self._logits(one) for one in rows])) if rows else ():
            self._open.remove(one)

    def _logits(self, one: Continuation) -> torch.Tensor:
        where = self._mixed.model.device
        ids = torch.from_numpy(one.known[one.done :].astype(np.int64)).unsqueeze(0).to(where)
        places = torch.arange(one.done, one.length, device=where).unsqueeze(0)
        last = torch.tensor([ids.shape[1] - 1], device=where)
        one.done = one.length
        return self._mixed.logits(
            [one.adapter], last, input_ids=ids, position_ids=places, past_key_values=one.cache, use_cache=True
        )
