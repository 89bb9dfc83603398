"""Generation for models whose layers carry a state (linear attention), each answer computed by itself.

A state can neither skip padding nor return to where two prompts part. So nothing is shared, and a prompt is computed in
one pass; the answers of a batch take turns, token by token.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from ftkit.inference.active_request import ActiveRequest, choose_next_tokens
from ftkit.inference.multi_lora import MultiLoRAModel

__all__ = ["RecurrentBatch", "has_recurrent_layers"]


def has_recurrent_layers(model: Any) -> bool:
    """Say whether layers of a model carry a state instead of keys and values of every token.

    Args:
        model: a transformers model.

    Returns:
        True for linear attention and other recurrent layers.
    """
    types = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    return bool(types - {"full_attention", "sliding_attention"})


class RecurrentBatch:
    """The same interface as :class:`~ftkit.inference.continuous_batching.ContinuousBatch`, for recurrent models.

    Args:
        model: the model.
        rows: answers generated in turn at most; each has a cache of its own.

    Attributes:
        steps: rounds that generated a token for every running answer so far.
    """

    def __init__(self, model: MultiLoRAModel, rows: int) -> None:
        self._model, self._rows = model, rows
        self._running: list[ActiveRequest] = []
        self._waiting: deque[ActiveRequest] = deque()
        self.steps = 0

    @property
    def running(self) -> int:
        """Answers that are being generated."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    def add(self, request: ActiveRequest) -> None:
        """Queue a request.

        Args:
            request: the request.
        """
        self._waiting.append(request)

    def remove(self, request: ActiveRequest) -> None:
        """Remove a request from the queue or the batch.

        Args:
            request: the request. Nothing happens if it is not there.
        """
        if request in self._waiting:
            self._waiting.remove(request)
        elif request in self._running:
            self._running.remove(request)

    def clear(self) -> None:
        """Remove all requests."""
        self._running.clear()
        self._waiting.clear()

    @torch.inference_mode()
    def step(self) -> None:
        """Compute one waiting prompt, and generate a token for every running answer."""
        if self._waiting and len(self._running) < self._rows:
            request = self._waiting.popleft()
            request.cache = DynamicCache(config=self._model.model.config)
            request.start()
            self._running.append(request)
        if self._running:
            self.steps += 1
            rows = [*self._running]
            for request in choose_next_tokens(rows, torch.cat([self._logits(row) for row in rows])):
                self._running.remove(request)

    def _logits(self, request: ActiveRequest) -> torch.Tensor:
        device = self._model.model.device
        ids = torch.from_numpy(request.known[request.computed :].astype(np.int64)).unsqueeze(0).to(device)
        positions = torch.arange(request.computed, request.length, device=device).unsqueeze(0)
        last = torch.tensor([ids.shape[1] - 1], device=device)
        request.computed = request.length
        return self._model.logits(
            [request.adapter],
            last,
            input_ids=ids,
            position_ids=positions,
            past_key_values=request.cache,
            use_cache=True,
        )
