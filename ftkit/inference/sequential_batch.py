"""Generation for models whose caches cannot hold several answers side by side, each answer computed by itself.

A state (Mamba, RWKV, linear attention) can neither skip padding nor return to where two prompts part. So nothing is
shared, and a prompt is computed in one pass; the answers of a batch take turns, token by token. Each answer has the
cache that the model itself makes in its first pass. A model without a cache computes the whole answer for each token.
"""

from __future__ import annotations

import inspect
from collections import deque
from typing import Any

import numpy as np
import torch

from ftkit.inference.active_request import ActiveRequest, choose_next_tokens
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.modeling.rope_boundary import rope_boundary

__all__ = ["ModelCache", "SequentialBatch"]

_CACHE_NAMES = ("past_key_values", "cache_params", "state", "mems", "past_buckets_states")
"""What transformers' models call the cache among their outputs; their forward pass takes it by the same name."""


class ModelCache:
    """The cache of one sequence, in whatever form the model makes it.

    Args:
        model: the transformers model.
        cached: whether to use a cache; otherwise every pass computes all tokens.
        positions: whether to say the positions of new tokens. Most models know them from their cache, and some begin
            at another number than 0.

    Attributes:
        length: leading tokens of the sequence that it holds.
    """

    def __init__(self, model: Any, *, cached: bool, positions: bool = False) -> None:
        self._positions = positions
        self._accepted = inspect.signature(model.forward).parameters
        self._boundary = rope_boundary(model.config)
        self._cached = cached
        self._held: dict[str, Any] = {}
        self.length = 0

    def inputs(self, ids: torch.Tensor) -> dict[str, Any]:
        """Return the arguments of the next pass.

        Args:
            ids: the whole sequence, ``[1, tokens]``.

        Returns:
            Arguments of the model's forward pass, which compute the tokens that are not in the cache.
        """
        length = ids.shape[1]
        if self._boundary is not None and self.length <= self._boundary < length:
            self._held, self.length = {}, 0  # all positions are rotated by other angles from here on
        start = self.length if self._held else 0
        self.length = length
        found: dict[str, Any] = {"input_ids": ids[:, start:], "use_cache": self._cached, **self._held}
        if self._positions and "position_ids" in self._accepted:
            found["position_ids"] = torch.arange(start, length, device=ids.device).unsqueeze(0)
        return found

    def keep(self, outputs: Any) -> None:
        """Take the cache from a pass.

        Args:
            outputs: what the model returned.
        """
        if not self._cached:
            return
        for name in _CACHE_NAMES:
            cache = outputs.get(name)
            if cache is not None and name in self._accepted:
                self._held = {name: cache}


class SequentialBatch:
    """The same interface as :class:`~ftkit.inference.continuous_batching.ContinuousBatch`, one answer in each pass.

    Args:
        model: the model.
        rows: answers generated in turn at most; each has a cache of its own.
        cached: whether to use the model's cache.
        positions: whether the model needs the positions of new tokens.

    Attributes:
        steps: rounds that generated a token for every running answer so far.
    """

    def __init__(self, model: MultiLoRAModel, rows: int, *, cached: bool, positions: bool = False) -> None:
        self._model, self._rows, self._cached, self._positions = model, rows, cached, positions
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
            request.cache = ModelCache(self._model.model, cached=self._cached, positions=self._positions)
            request.start()
            self._running.append(request)
        if self._running:
            self.steps += 1
            rows = [*self._running]
            for request in choose_next_tokens(rows, torch.cat([self._logits(row) for row in rows])):
                self._running.remove(request)

    def _logits(self, request: ActiveRequest) -> torch.Tensor:
        device = self._model.model.device
        ids = torch.from_numpy(request.known.astype(np.int64)).unsqueeze(0).to(device)
        inputs = request.cache.inputs(ids)
        last = torch.tensor([inputs["input_ids"].shape[1] - 1], device=device)
        request.computed = request.length
        return self._model.logits([request.adapter], last, on_output=request.cache.keep, **inputs)
