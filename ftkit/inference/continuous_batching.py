"""Continuous batching: a batch that generates one token per answer and step; answers join and leave between steps.

This is for models whose layers keep keys and values of every token; :mod:`ftkit.inference.sequential_batch` is for
the others. What several prompts share is computed once: identical prompts in one row that is then copied, shared
prefixes through the prefix cache.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import Any

import numpy as np
import torch

from ftkit.inference.active_request import ActiveRequest, choose_next_tokens
from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.kv_cache import KVCache
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.inference.prefix_cache import PrefixCache
from ftkit.modeling.prefix_tree import shared_length
from ftkit.modeling.rope_boundary import rope_boundary

__all__ = ["ContinuousBatch"]

_WAIT_TOKENS = 32
"""A prompt waits for another one to be computed if it can then reuse at least this many tokens of it."""


class ContinuousBatch:
    """The answers of one model that are generated together. Use it from one thread.

    Args:
        model: the model.
        settings: size of the batch.

    Attributes:
        prefixes: the prefix cache.
        steps: forward passes that generated tokens for all running answers so far.
    """

    def __init__(self, model: MultiLoRAModel, settings: BatchSettings) -> None:
        self._model, self._settings = model, settings
        config = model.model.config.get_text_config()
        self._layer_types = set(getattr(config, "layer_types", None) or ())
        self._window: int | None = getattr(config, "sliding_window", None)
        self._additive_mask = getattr(config, "_attn_implementation", "") == "eager"
        self._boundary = rope_boundary(model.model.config)
        self._token_bytes = 0
        self._cache = KVCache(config.num_hidden_layers, self._fits_tokens)
        self._running: list[ActiveRequest] = []  # in the order of the cache's rows
        self._waiting: deque[ActiveRequest] = deque()
        self.steps = 0
        if settings.cache_bytes is not None or settings.prefix_tokens:
            self._measure_token_bytes()
        self.prefixes = PrefixCache(settings.prefix_bytes + settings.prefix_tokens * self._token_bytes)

    @property
    def running(self) -> int:
        """Answers that are being generated."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait for room."""
        return len(self._waiting)

    def add(self, request: ActiveRequest) -> None:
        """Queue a request; it joins the batch in the next step that has room.

        Args:
            request: the request.
        """
        self._waiting.append(request)

    @torch.inference_mode()
    def remove(self, request: ActiveRequest) -> None:
        """Remove a request from the queue or the batch.

        Args:
            request: the request. Nothing happens if it is not there.
        """
        if request in self._waiting:
            self._waiting.remove(request)
        elif request in self._running:
            self._close(self._running.index(request))

    def clear(self) -> None:
        """Remove all requests and free their memory."""
        self._running.clear()
        self._waiting.clear()
        self._cache.clear()

    @torch.inference_mode()
    def step(self) -> None:
        """Admit waiting requests, compute prompts, and generate a token for every answer whose prompt is computed."""
        self._start_again_beyond()
        tokens = 0
        while tokens < self._settings.step_tokens:
            self._admit()
            computed = self._compute_prompts()
            if not computed:
                break
            tokens += computed
        self._start_again_beyond()
        if any(request.ids and request.computed == request.length - 1 for request in self._running):
            self._generate()

    @torch.inference_mode()
    def trial(self, ids: torch.Tensor, starts: tuple[int, int]) -> list[tuple[list[int], torch.Tensor]]:
        """Compute one sequence in two rows of different lengths, as prompts in two pieces and then token by token.

        Args:
            ids: the sequence, ``[1, tokens]``.
            starts: how many tokens the first piece of each row has.

        Returns:
            For each row the tokens whose logits were computed, and these, float32 ``[tokens, vocabulary]``.
        """
        rows = [ActiveRequest.probe() for _ in starts]
        computed = [0, 0]
        tokens: list[list[int]] = [[], []]
        logits: list[list[torch.Tensor]] = [[], []]
        for sizes in (starts, (2, 3), (1, 1), (1, 1)):
            piece = torch.zeros((2, max(sizes)), dtype=torch.long)
            for row, size in enumerate(sizes):
                piece[row, :size] = ids[0, computed[row] : computed[row] + size]
            width = max(computed) + max(sizes)
            self._reserve(2, width, width)
            found = self._forward(0, rows, piece, [*computed], torch.tensor(sizes) - 1)
            for row, size in enumerate(sizes):
                computed[row] += size
                tokens[row].append(computed[row] - 1)
                logits[row].append(found[row])
        self._cache.clear()
        return [(one, torch.stack(those)) for one, those in zip(tokens, logits, strict=True)]

    def _admit(self) -> None:
        """Give rows to waiting requests in their order.

        A request whose prompt is the same as that of one admitted in this step becomes its copy. One that shares a long
        prefix with a prompt that is still to be computed stays in the queue, and gets it from the prefix cache later.
        """
        if not self._waiting:
            return
        uncomputed = [request for row, request in enumerate(self._running) if self._uncomputed(row)]
        admitted: list[ActiveRequest] = []
        copies: list[ActiveRequest] = []
        passed: list[ActiveRequest] = []
        room = max((request.length + request.reserve for request in self._running), default=0)
        length = self._longest()
        most = self._settings.rows - len(self._running)
        while self._waiting and len(admitted) + len(copies) < most and len(passed) < 2 * self._settings.rows:
            request = self._waiting.popleft()
            request.beyond = self._beyond(request)
            request.source = next((one for one in uncomputed if _same_prompt(one, request)), None)
            known = request.known
            cached, blocks = (0, []) if request.source else self.prefixes.match(request.cache_key, known)
            if request.source is None and self.prefixes.max_bytes:
                shared = max((_shared(one, request) for one in uncomputed), default=0)
                if min(shared, len(known) - 1) - cached >= _WAIT_TOKENS:
                    passed.append(request)
                    continue
            rows = len(self._running) + len(admitted) + len(copies) + 1
            if not self._fits(rows, max(length, len(known) + 1)):
                request.source = None
                passed.append(request)
                break
            length = max(length, len(known) + 1)
            room = max(room, len(known) + request.reserve)
            request.start()
            request.computed, request.blocks = cached, blocks
            if request.source is not None:
                request.source.copies.append(request)
                copies.append(request)
            else:
                admitted.append(request)
                if not request.ids:
                    uncomputed.append(request)
        self._waiting.extendleft(reversed(passed))
        if not admitted and not copies:
            return
        first = len(self._running)
        self._running += [*admitted, *copies]
        self._reserve(len(self._running), length, max(length, room))
        for row, request in enumerate(admitted, start=first):
            if request.blocks:
                self._cache.write_blocks(row, request.blocks)
            request.blocks = []
            if not request.ids:
                request.cached = request.computed

    def _compute_prompts(self) -> int:
        """Compute a piece of the prompts in one pass; returns how many tokens, padding included."""
        waiting = [row for row in range(len(self._running)) if self._uncomputed(row)]
        if not waiting:
            return 0
        # Neighbouring rows from the first one on, as many as fit into one pass.
        most = self._settings.pass_tokens
        first, count, width = waiting[0], 1, min(most, self._uncomputed(waiting[0]))
        for row in waiting[1:]:
            wider = max(width, self._uncomputed(row))
            same_side = self._running[row].beyond == self._running[first].beyond
            if row != first + count or (count + 1) * wider > most or not same_side:
                break
            count, width = count + 1, wider
        rows = self._running[first : first + count]
        pieces = [
            request.known[request.computed : request.computed + min(width, self._uncomputed(first + at))]
            for at, request in enumerate(rows)
        ]
        ids = torch.zeros((count, width), dtype=torch.long)
        for at, piece in enumerate(pieces):
            ids[at, : len(piece)] = torch.from_numpy(piece.astype(np.int64))
        starts = [request.computed for request in rows]
        last = torch.tensor([len(piece) - 1 for piece in pieces])
        self._reserve(first + count, max(starts) + width, max(starts) + width)
        logits = self._forward(first, rows, ids, starts, last)
        finished: list[ActiveRequest] = []
        places: list[int] = []
        for at, (request, piece) in enumerate(zip(rows, pieces, strict=True)):
            request.computed += len(piece)
            if request.ids or request.computed < request.length:
                continue
            self.prefixes.insert(request.cache_key, request.prompt, self._cache, first + at)
            finished.append(request)
            places.append(at)
            for copy in request.copies:
                self._cache.copy_row(first + at, self._running.index(copy), request.computed)
                copy.computed, copy.source = request.computed, None
                copy.cached = request.computed - 1
                finished.append(copy)
                places.append(at)
            request.copies = []
        self._choose(finished, logits if places == [*range(count)] else logits[places])
        return count * width

    def _uncomputed(self, row: int) -> int:
        """Tokens of a row that are still to be computed before it generates the next one."""
        request = self._running[row]
        if request.source is not None:  # it will be copied
            return 0
        return request.length - request.computed - bool(request.ids)

    def _generate(self) -> None:
        """Generate a token for every answer whose prompt is computed."""
        while not self._fits(len(self._running), self._longest() + 1) and len(self._running) > 1:
            youngest = self._running[-1]
            self._close(len(self._running) - 1)
            youngest.computed = 0
            self._waiting.appendleft(youngest)
        # A row whose prompt is not computed yet takes part with a token that nothing reads and that is overwritten.
        ids = torch.tensor([[request.ids[-1] if request.ids else 0] for request in self._running])
        starts = [request.computed for request in self._running]
        self._reserve(len(self._running), max(starts) + 1, max(starts) + 1)
        sides = groupby(range(len(self._running)), key=lambda row: self._running[row].beyond)
        parts = []
        for _, side in sides:
            which = [*side]
            part = slice(which[0], which[-1] + 1)
            last = torch.zeros(len(which), dtype=torch.long)
            parts.append(self._forward(which[0], self._running[part], ids[part], starts[part], last))
        logits = torch.cat(parts)
        self.steps += 1
        rows = [
            row for row, request in enumerate(self._running) if request.ids and request.computed == request.length - 1
        ]
        ready = [self._running[row] for row in rows]
        for request in ready:
            request.computed += 1
        self._choose(ready, logits if len(rows) == len(self._running) else logits[rows])

    def _forward(
        self, first: int, rows: list[ActiveRequest], ids: torch.Tensor, starts: list[int], last: torch.Tensor
    ) -> torch.Tensor:
        device = self._model.model.device
        beyond, most = rows[0].beyond, self._model.pretrained.max_length
        padded = beyond and max(starts) + ids.shape[1] <= (self._boundary or 0)
        if padded:
            # The pass needs a position beyond the boundary to use the angles of a long row: one of padding.
            ids = torch.nn.functional.pad(ids, (0, 1))
            self._reserve(first + len(rows), max(starts) + ids.shape[1], max(starts) + ids.shape[1])
        positions = torch.tensor(starts).unsqueeze(1) + torch.arange(ids.shape[1])
        width = max(starts) + ids.shape[1]
        # Padding at the end of a piece may lie beyond the model's last position, or beyond the boundary.
        limits = [limit for limit in (most, None if beyond else self._boundary) if limit is not None]
        clamped = positions.clamp(max=min([width, *limits]) - 1)
        if padded and self._boundary is not None:
            clamped[:, -1] = self._boundary
        clamped, positions = clamped.to(device), positions.to(device)
        self._cache.set_region(first, starts, positions, width)
        return self._model.logits(
            [request.adapter for request in rows],
            last.to(device),
            input_ids=ids.to(device),
            attention_mask=self._mask(positions, width),
            position_ids=clamped,
            past_key_values=self._cache,
            use_cache=True,
        )

    def _mask(self, positions: torch.Tensor, width: int) -> Any:
        """For each type of layer which positions a token attends to: bool ``[rows, 1, tokens, width]``."""
        columns = torch.arange(width, device=positions.device)
        full = columns <= positions[:, None, :, None]
        if self._window is None:
            return self._as_layers_take_it(full)
        near = full & (columns > positions[:, None, :, None] - self._window)
        if "sliding_attention" not in self._layer_types:
            return self._as_layers_take_it(full if self._layer_types else near)
        return {"full_attention": self._as_layers_take_it(full), "sliding_attention": self._as_layers_take_it(near)}

    def _as_layers_take_it(self, mask: torch.Tensor) -> torch.Tensor:
        if not self._additive_mask:
            return mask
        dtype = self._model.model.dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)

    def _beyond(self, request: ActiveRequest) -> bool:
        """Whether the row is longer than what the model computes with its short rotary factors."""
        return self._boundary is not None and request.length > self._boundary

    def _start_again_beyond(self) -> None:
        """Compute rows again that have grown longer: all their positions are rotated by other angles from here on."""
        for request in self._running:
            if not request.beyond and self._beyond(request):
                request.beyond, request.computed = True, 0

    def _choose(self, rows: list[ActiveRequest], logits: torch.Tensor) -> None:
        for request in choose_next_tokens(rows, logits):
            self._close(self._running.index(request))

    def _close(self, row: int) -> None:
        """Remove a row; the last one moves to its place."""
        request = self._running[row]
        for copy in request.copies:
            copy.source = None
        if request.source is not None:
            request.source.copies.remove(request)
        request.copies, request.source = [], None
        if self._settings.keep_answers:
            self.prefixes.insert(request.cache_key, request.known[: request.computed], self._cache, row)
        end = len(self._running) - 1
        if row != end:
            self._cache.copy_row(end, row, self._running[end].computed)
            self._running[row] = self._running[end]
        self._running.pop()
        if not self._running:
            self._cache.clear()

    @torch.inference_mode()
    def _measure_token_bytes(self) -> None:
        """Compute one token to see what it takes: no config says it for every architecture."""
        self._cache.reserve(1, 1)
        probe = ActiveRequest.probe()
        self._forward(0, [probe], torch.zeros((1, 1), dtype=torch.long), [0], torch.zeros(1, dtype=torch.long))
        self._token_bytes = self._cache.token_bytes()
        self._cache.clear()

    def _longest(self) -> int:
        return max((request.length for request in self._running), default=0)

    def _reserve(self, rows: int, length: int, wanted: int) -> None:
        """Allocate ``length`` tokens for each row, or as many as ``wanted`` if the limit allows it."""
        self._cache.reserve(rows, wanted if self._fits_tokens(rows * wanted) else length)

    def _fits(self, rows: int, length: int) -> bool:
        return rows == 1 or self._fits_tokens(rows * length)

    def _fits_tokens(self, tokens: int) -> bool:
        limit = self._settings.cache_bytes
        return limit is None or tokens * self._token_bytes <= limit


def _same_prompt(first: ActiveRequest, second: ActiveRequest) -> bool:
    return (
        first.source is None
        and not first.ids
        and not second.ids
        and first.cache_key == second.cache_key
        and len(first.prompt) == len(second.prompt)
        and bool((first.prompt == second.prompt).all())
    )


def _shared(first: ActiveRequest, second: ActiveRequest) -> int:
    return shared_length(first.prompt, second.prompt) if first.cache_key == second.cache_key else 0
