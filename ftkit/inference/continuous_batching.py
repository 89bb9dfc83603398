"""A batch that goes forward one token at a time; answers join and leave it between two steps.

Its models have keys and values for every token; :mod:`ftkit.inference.recurrent_decoding` is for the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ftkit.inference.constrained import Held, permitted
from ftkit.inference.kv_cache import Slots
from ftkit.inference.multi_lora import Mixed
from ftkit.inference.prefix_cache import BLOCK, Prefixes
from ftkit.inference.sampling import Draw, choose
from ftkit.modeling.tokenized_example import Ints

__all__ = ["Continuation", "Stepping", "Token", "carries_state", "next_tokens"]

PASS = 512
"""Prompt tokens computed in one pass at most, so that answers on their way do not wait long for a long prompt."""


@dataclass(frozen=True, slots=True)
class Token:
    """A chosen token.

    Attributes:
        id: the token.
        logprob: logarithm of its probability, at temperature 1 and free, whatever it was drawn at.
        likeliest: the likeliest tokens at its place with theirs, as many as were asked for.
    """

    id: int
    logprob: float
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True, eq=False)
class Continuation:
    """One answer on its way.

    Attributes:
        prompt: token ids.
        draw: how its tokens are chosen.
        adapter: name of its adapter on the base.
        held: what holds it to a schema.
        likeliest: alternatives to be told of each token.
        on_token: called with each token; an answer it returns ``False`` for is done.
        ids: its tokens so far.
        cached: leading tokens of the prompt that had been computed before.
    """

    prompt: Ints
    draw: Draw
    on_token: Callable[[Token], bool]
    adapter: str | None = None
    held: Held | None = None
    likeliest: int = 0
    ids: list[int] = field(default_factory=list)
    cached: int = 0
    # For the batch: tokens of ``known`` that lie in the cache, and the first block of it that had to be computed.
    done: int = 0
    begins: bytes | None = None
    # Of an answer that is computed by itself.
    cache: Any = None

    @property
    def known(self) -> Ints:
        """Prompt and answer so far."""
        return np.concatenate([self.prompt, np.asarray(self.ids, dtype=self.prompt.dtype)])

    @property
    def length(self) -> int:
        """Tokens of prompt and answer so far."""
        return len(self.prompt) + len(self.ids)


def next_tokens(rows: list[Continuation], logits: torch.Tensor) -> list[Continuation]:
    """Choose and tell the next token of each row of ``logits`` [rows, vocabulary]; gives those that are done."""
    if not rows:
        return []
    chosen = choose(permitted(logits, [one.held for one in rows]), [one.draw for one in rows])
    told = logits.log_softmax(dim=-1)
    own = told.gather(1, torch.tensor(chosen, device=told.device).unsqueeze(1)).squeeze(1).tolist()
    done = []
    for at, (one, token) in enumerate(zip(rows, chosen, strict=True)):
        one.ids.append(token)
        if one.held is not None:
            one.held.take(token)
        likeliest: tuple[tuple[int, float], ...] = ()
        if one.likeliest:
            best = told[at].topk(one.likeliest)
            likeliest = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        if not one.on_token(Token(token, own[at], likeliest)):
            done.append(one)
    return done


def carries_state(model: Any) -> bool:
    """Whether layers of a transformers model carry a state along instead of keys and values (linear attention)."""
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    return bool(kinds - {"full_attention", "sliding_attention"})


class Stepping:
    """Answers of one base model, computed together. To be used by one thread.

    Args:
        mixed: the model.
        rows: answers computed together at most.
        cache_bytes: memory for keys and values of open answers, and as much again for beginnings that are kept. One
            answer alone may exceed it.
    """

    def __init__(self, mixed: Mixed, *, rows: int, cache_bytes: int) -> None:
        self._mixed, self._most, self._limit = mixed, rows, cache_bytes
        config = mixed.model.config.get_text_config()
        self._kinds = set(getattr(config, "layer_types", None) or ())
        self._window: int | None = getattr(config, "sliding_window", None)
        self._additive = getattr(config, "_attn_implementation", "") == "eager"
        self._token_bytes = 0
        self._slots = Slots(config.num_hidden_layers, self._may_hold)
        self._open: list[Continuation] = []  # in the order of the cache's rows
        self._waiting: deque[Continuation] = deque()
        self.prefixes = Prefixes(cache_bytes)
        self._measure()

    @property
    def open(self) -> int:
        """Answers that are being computed."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Answers that wait for room."""
        return len(self._waiting)

    def join(self, one: Continuation) -> None:
        """Let an answer take part from the next step on, as soon as there is room."""
        self._waiting.append(one)

    @torch.inference_mode()
    def leave(self, one: Continuation) -> None:
        """Drop an answer wherever it is; nothing more is computed for it."""
        if one in self._waiting:
            self._waiting.remove(one)
        elif one in self._open:
            self._close(self._open.index(one))

    def clear(self) -> None:
        """Drop every answer on its way, and their memory."""
        self._open.clear()
        self._waiting.clear()
        self._slots.clear()

    @torch.inference_mode()
    def step(self) -> None:
        """Admit who waits, compute a piece of the prompts, and the next token of every answer whose prompt is done."""
        self._admit()
        self._read_prompts()
        ready = [one for one in self._open if one.done == one.length - 1 and one.ids]
        if ready:
            self._next_tokens(ready)

    def _admit(self) -> None:
        coming = {one.begins for row, one in enumerate(self._open) if self._left(row)}
        passed: list[Continuation] = []
        while self._waiting and len(self._open) < self._most:
            one = self._waiting.popleft()
            known = one.known
            # Who begins like another that is read in this step waits for one step, and then has it from the cache.
            one.begins = self.prefixes.first_unknown(one.adapter, known)
            if one.begins is not None and one.begins in coming:
                passed.append(one)
                continue
            if not self._fits(len(self._open) + 1, max(len(known) + 1, self._longest())):
                passed.append(one)
                break
            coming.add(one.begins)
            self._slots.make_room(len(self._open) + 1, max(len(known) + 1, self._longest()))
            blocks = self.prefixes.known(one.adapter, known)
            if blocks:
                self._slots.fill(len(self._open), blocks)
            one.done = len(blocks) * BLOCK
            if not one.ids:
                one.cached = one.done
            self._open.append(one)
        self._waiting.extendleft(reversed(passed))

    def _read_prompts(self) -> None:
        unread = [row for row in range(len(self._open)) if self._left(row)]
        if not unread:
            return
        # Neighbouring rows from the first unread one on, as many as go into one pass.
        first, count, width = unread[0], 1, min(PASS, self._left(unread[0]))
        for row in unread[1:]:
            wider = max(width, self._left(row))
            if row != first + count or (count + 1) * wider > PASS:
                break
            count, width = count + 1, wider
        rows = self._open[first : first + count]
        pieces = [one.known[one.done : one.done + min(width, self._left(first + at))] for at, one in enumerate(rows)]
        ids = torch.zeros((count, width), dtype=torch.long)
        for at, piece in enumerate(pieces):
            ids[at, : len(piece)] = torch.from_numpy(piece.astype(np.int64))
        starts = torch.tensor([one.done for one in rows])
        last = torch.tensor([len(piece) - 1 for piece in pieces])
        self._slots.make_room(first + count, int(starts.max()) + width)
        logits = self._forward(first, rows, ids, starts, last)
        finished = []
        for at, (one, piece) in enumerate(zip(rows, pieces, strict=True)):
            one.done += len(piece)
            if one.done == len(one.prompt) and not one.ids:
                self.prefixes.keep(one.adapter, one.prompt, self._slots, first + at)
                finished.append(at)
        self._choose([rows[at] for at in finished], logits[finished])

    def _left(self, row: int) -> int:
        """Tokens of a row still to be read: of a fresh one its prompt, of one that goes on all but the last."""
        one = self._open[row]
        return one.length - one.done - bool(one.ids)

    def _next_tokens(self, ready: list[Continuation]) -> None:
        while not self._fits(len(self._open), self._longest() + 1) and len(self._open) > 1:
            youngest = self._open[-1]
            self._close(len(self._open) - 1)
            youngest.done = 0
            self._waiting.appendleft(youngest)
        ready = [one for one in ready if one in self._open]
        # A row whose prompt is still being read takes part with a token that nobody looks at, and that is overwritten.
        ids = torch.tensor([[one.ids[-1] if one.ids else 0] for one in self._open])
        starts = torch.tensor([one.done for one in self._open])
        self._slots.make_room(len(self._open), int(starts.max()) + 1)
        logits = self._forward(0, self._open, ids, starts, torch.zeros(len(self._open), dtype=torch.long))
        rows = [row for row, one in enumerate(self._open) if one in ready]
        for one in ready:
            one.done += 1
        self._choose([self._open[row] for row in rows], logits[rows])

    def _forward(
        self, first: int, rows: list[Continuation], ids: torch.Tensor, starts: torch.Tensor, last: torch.Tensor
    ) -> torch.Tensor:
        where = self._mixed.model.device
        places = starts.unsqueeze(1) + torch.arange(ids.shape[1])
        width = int(places.max()) + 1
        # What pads a piece may lie beyond the last position there is.
        positions = places.clamp(max=(self._mixed.pretrained.max_length or width) - 1).to(where)
        places = places.to(where)
        self._slots.aim(first, places, width)
        return self._mixed.logits(
            [one.adapter for one in rows],
            last.to(where),
            input_ids=ids.to(where),
            attention_mask=self._mask(places, width),
            position_ids=positions,
            past_key_values=self._slots,
            use_cache=True,
        )

    def _mask(self, places: torch.Tensor, width: int) -> Any:
        """For each kind of layer which places [rows, 1, tokens, width] a token sees."""
        seen = torch.arange(width, device=places.device)
        full = seen <= places[:, None, :, None]
        if self._window is None:
            return self._form(full)
        near = full & (seen > places[:, None, :, None] - self._window)
        if "sliding_attention" not in self._kinds:
            return self._form(full if self._kinds else near)
        return {"full_attention": self._form(full), "sliding_attention": self._form(near)}

    def _form(self, mask: torch.Tensor) -> torch.Tensor:
        if not self._additive:
            return mask
        dtype = self._mixed.model.dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)

    def _choose(self, rows: list[Continuation], logits: torch.Tensor) -> None:
        for one in next_tokens(rows, logits):
            self._close(self._open.index(one))

    def _close(self, row: int) -> None:
        """Take a row out; the last one moves to its place."""
        one = self._open[row]
        if one.done >= BLOCK:
            self.prefixes.keep(one.adapter, one.known[: one.done], self._slots, row)
        end = len(self._open) - 1
        if row != end:
            self._slots.move(end, row, self._open[end].done)
            self._open[row] = self._open[end]
        self._open.pop()
        if not self._open:
            self._slots.clear()

    @torch.inference_mode()
    def _measure(self) -> None:
        """What a token takes: no config says it for every architecture, so one token is computed."""
        self._slots.make_room(1, 1)
        nothing = torch.zeros((1, 1), dtype=torch.long)
        probe = Continuation(np.zeros(1, dtype=np.int32), Draw(), lambda token: False)
        self._forward(0, [probe], nothing, nothing[0], nothing[0])
        self._token_bytes = self._slots.token_bytes()
        self._slots.clear()

    def _longest(self) -> int:
        return max((one.length for one in self._open), default=0)

    def _fits(self, rows: int, length: int) -> bool:
        return rows == 1 or self._may_hold(rows * length)

    def _may_hold(self, tokens: int) -> bool:
        return tokens * self._token_bytes <= self._limit
