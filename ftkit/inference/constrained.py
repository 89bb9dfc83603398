"""Answers held to a schema: which tokens may come next, by llguidance."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch

from ftkit.errors import ConfigError
from ftkit.extras import require
from ftkit.schema import ChoiceOutput, JsonOutput, Output

__all__ = ["Grammar", "Grammars", "Held", "permitted"]

_WRITTEN = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As targets are written: otherwise the model would be led where it was never trained to go."""

_KEPT = 64
"""Grammars that are kept for the next request."""


class Grammar:
    """What an output allows, ready for one model's tokens.

    Raises:
        ConfigError: the schema uses what llguidance cannot hold a model to; says what.
    """

    def __init__(self, output: JsonOutput | ChoiceOutput, tokens: Any) -> None:
        library = require("llguidance", extra="local", needed_for="holding answers to the schema")
        if isinstance(output, JsonOutput):
            text = library.LLMatcher.grammar_from_json_schema(json.dumps(output.json_schema), defaults=_WRITTEN)
        else:
            text = library.LLMatcher.grammar_from_regex("|".join(map(re.escape, output.choices)))
        self._first = library.LLMatcher(tokens, text, log_level=0)
        if self._first.is_error():
            raise ConfigError(f"answers cannot be held to the schema: {self._first.get_error().splitlines()[0]}")

    def start(self) -> Held:
        """For one answer."""
        return Held(self._first.deep_copy())


class Held:
    """One answer on its way."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed(self, vocabulary: int) -> torch.Tensor:
        """Which tokens may come next, bool [vocabulary]; the end of turn where the answer is whole."""
        bias = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8) > 0
        allowed = torch.zeros(vocabulary, dtype=torch.bool)
        count = min(vocabulary, len(bias))
        allowed[:count] = bias[:count]
        return allowed

    def take(self, token: int) -> None:
        """The token that was chosen."""
        self._matcher.consume_token(token)


def permitted(logits: torch.Tensor, held: Sequence[Held | None]) -> torch.Tensor:
    """The logits [rows, vocabulary] without those tokens that a row's grammar forbids."""
    if all(one is None for one in held):
        return logits
    free = torch.ones(logits.shape[-1], dtype=torch.bool)
    allowed = [free if one is None else one.allowed(logits.shape[-1]) for one in held]
    return logits.masked_fill(~torch.stack(allowed).to(logits.device), float("-inf"))


class Grammars:
    """Grammars over one tokenizer's tokens. The latest are kept, because requests often ask for the same schema.

    Args:
        tokenizer: a transformers tokenizer.
        stops: token ids that end a turn.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[int]) -> None:
        library = require("llguidance.hf", extra="local", needed_for="holding answers to the schema")
        self._tokens = library.from_tokenizer(tokenizer, eos_token=[int(token) for token in stops] or None)
        self._made: OrderedDict[str, Grammar] = OrderedDict()

    def of(self, output: Output | None) -> Grammar | None:
        """The grammar of an output; ``None`` for text, which nothing holds.

        Raises:
            ConfigError: see :class:`Grammar`.
        """
        if not isinstance(output, JsonOutput | ChoiceOutput):
            return None
        key = output.model_dump_json()
        if key not in self._made:
            self._made[key] = Grammar(output, self._tokens)
        self._made.move_to_end(key)
        while len(self._made) > _KEPT:
            self._made.popitem(last=False)
        return self._made[key]
