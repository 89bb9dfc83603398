"""Answers from a loaded model: prompts of like length together, the beginning they share computed once, and so is a
prompt that is asked several times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from ftkit.inference.batch_cache import RoomyCache
from ftkit.inference.constrained import Grammar, Held, permitted
from ftkit.inference.sampling import Draw, choose
from ftkit.modeling.prefix_tree import shared_length
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.tokenized_example import Ints

__all__ = ["BATCH", "Generated", "common_beginning", "generate"]

BATCH = 32
"""Prompts answered together."""


@dataclass(frozen=True, slots=True)
class Generated:
    """One answer in tokens.

    Attributes:
        ids: the new tokens, the end of turn included when it came.
        stopped: whether the model ended its turn (else the token limit did).
        cached: leading tokens of the prompt that were computed for several prompts at once.
        seconds: from the start of the prompt's batch until the answer was complete.
        logprob: logarithm of the probability of ``ids``, at temperature 1 and free, whatever they were drawn at.
        logprobs: that of each of them at the temperature they were drawn at (at 0: at 1), free.
    """

    ids: tuple[int, ...]
    stopped: bool
    cached: int
    seconds: float
    logprob: float
    logprobs: tuple[float, ...]


@torch.inference_mode()
def generate(
    pretrained: Pretrained,
    prompts: Sequence[Ints],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    grammars: Sequence[Grammar | None] | None = None,
    on_done: Callable[[int, Generated], None] | None = None,
) -> list[Generated]:
    """Continue each prompt (token ids) until the model ends its turn, each held to its grammar where it has one.

    A prompt's answer does not depend on the prompts beside it, but for rounding; at ``temperature`` above 0 each prompt
    draws from its own generator, seeded by ``seed`` and its number.
    """
    model = pretrained.model
    config = model.config.get_text_config()
    # Layers that carry a state along (linear attention) can skip no padding: those prompts are answered one by one.
    padded = not set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    window = getattr(config, "sliding_window", None)
    # Padding lies between the common beginning and the rest, where an attention window would count it.
    slides = window is not None and max((len(one) for one in prompts), default=0) + max_new_tokens > window
    common = common_beginning(prompts) if padded and not slides else 0
    layers = config.num_hidden_layers
    beginning = RoomyCache(layers, max(common, 1))
    if common:
        ids = torch.tensor(np.asarray(prompts[0][:common], dtype=np.int64), device=model.device).unsqueeze(0)
        model(input_ids=ids, past_key_values=beginning, use_cache=True, logits_to_keep=1)
    results: dict[int, Generated] = {}
    by_length = sorted(range(len(prompts)), key=lambda number: (len(prompts[number]), number))
    size = BATCH if padded else 1
    for start in range(0, len(by_length), size):
        numbers = by_length[start : start + size]
        batch = _Batch(pretrained, prompts, numbers, common, beginning, max_new_tokens, temperature, top_p, seed)
        if grammars is not None:
            batch.held = [None if (one := grammars[number]) is None else one.start() for number in numbers]
        if not padded:
            batch.cache = DynamicCache(config=model.config)
        for number, done in batch.run():
            results[number] = done
            if on_done is not None:
                on_done(number, done)
    return [results[number] for number in range(len(prompts))]


def common_beginning(prompts: Sequence[Ints]) -> int:
    """Tokens that all prompts begin with, leaving each at least one of its own; 0 for a single prompt."""
    if len(prompts) < 2:
        return 0
    common = min(len(one) for one in prompts) - 1
    for one in prompts[1:]:
        common = min(common, shared_length(prompts[0], one))
    return common


class _Batch:
    """Some prompts, padded on the left to one length after their common beginning."""

    def __init__(
        self,
        pretrained: Pretrained,
        prompts: Sequence[Ints],
        numbers: list[int],
        common: int,
        beginning: RoomyCache,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
    ) -> None:
        self.model = pretrained.model
        self.stops = set(pretrained.chat_template.stop_ids)
        self.numbers = numbers
        self.common = common
        self.limit = max_new_tokens
        self.temperature = temperature
        self.draws = [Draw(temperature, top_p, seed, number) for number in numbers]
        asked: dict[bytes, int] = {}
        self.copies = [asked.setdefault(prompts[number].tobytes(), len(asked)) for number in numbers]
        """Of each row, which of the batch's different prompts it asks."""
        rests = [prompts[numbers[self.copies.index(one)]][common:] for one in range(len(asked))]
        width = max(len(rest) for rest in rests)
        device = self.model.device
        self.ids = torch.zeros((len(rests), width), dtype=torch.long)
        # The mask covers the beginning, the padded rest and every token to come.
        self.mask = torch.ones((len(rests), common + width + max_new_tokens), dtype=torch.long)
        for row, rest in enumerate(rests):
            self.ids[row, width - len(rest) :] = torch.from_numpy(np.asarray(rest, dtype=np.int64))
            self.mask[row, common : common + width - len(rest)] = 0
        self.ids, self.mask = self.ids.to(device), self.mask.to(device)
        self.positions = (self.mask.cumsum(dim=1) - 1).clamp(min=0)
        self.cache: Any = beginning.repeated(len(rests), common + width + max_new_tokens)
        self.width = width
        self.held: list[Held | None] = [None] * len(numbers)

    def run(self) -> list[tuple[int, Generated]]:
        began = time.monotonic()
        answers: list[list[int]] = [[] for _ in self.numbers]
        drawn: list[list[float]] = [[] for _ in self.numbers]
        logprobs = [0.0] * len(self.numbers)
        done: list[tuple[int, Generated]] = []
        rows = list(range(len(self.numbers)))  # which of the batch are still open, in the cache's order
        seen, end = self.common, self.common + self.width
        ids = self.ids
        for count in range(1, self.limit + 1):
            logits = self.model(
                input_ids=ids,
                attention_mask=self.mask[:, :end],
                position_ids=self.positions[:, seen:end],
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            if count == 1 and len(rows) > len(logits):
                logits = self.fan_out(logits)
            logits = logits.float()
            chosen = choose(permitted(logits, [self.held[row] for row in rows]), [self.draws[row] for row in rows])
            gained = _log_probabilities(logits, chosen)
            warm = self.temperature not in (0, 1)
            at_draw = _log_probabilities(logits / self.temperature, chosen) if warm else gained
            open_rows = []
            for at, (row, token) in enumerate(zip(rows, chosen, strict=True)):
                answers[row].append(token)
                if (held := self.held[row]) is not None:
                    held.take(token)
                logprobs[row] += gained[at]
                drawn[row].append(at_draw[at])
                stopped = token in self.stops
                if stopped or count == self.limit:
                    seconds = time.monotonic() - began
                    new, each = tuple(answers[row]), tuple(drawn[row])
                    one = Generated(new, stopped, self.common, seconds, logprobs[row], each)
                    done.append((self.numbers[row], one))
                else:
                    open_rows.append(at)
            if not open_rows:
                break
            if len(open_rows) < len(rows):
                keep = torch.tensor(open_rows, device=ids.device)
                self.cache.keep(keep)
                self.mask, self.positions = self.mask[keep], self.positions[keep]
                rows = [rows[at] for at in open_rows]
            ids = torch.tensor([[answers[row][-1]] for row in rows], device=ids.device)
            seen, end = end, end + 1
        return done

    def fan_out(self, logits: torch.Tensor) -> torch.Tensor:
        """After the prompts have been computed once each: a row of the batch for every time that one is asked."""
        copies = torch.tensor(self.copies, device=logits.device)
        self.cache.keep(copies)
        self.mask, self.positions = self.mask[copies], self.positions[copies]
        return logits[copies]


def _log_probabilities(logits: torch.Tensor, chosen: list[int]) -> list[float]:
    """Of each row's chosen token."""
    picked = logits.gather(1, torch.tensor(chosen, device=logits.device).unsqueeze(1)).squeeze(1)
    found: list[float] = (picked - logits.logsumexp(dim=-1)).tolist()
    return found
