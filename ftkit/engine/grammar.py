"""Answers held to a schema: which tokens may come next, by llguidance."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import torch

from ftkit.engine.pretrained import Pretrained
from ftkit.errors import ConfigError
from ftkit.extras import require
from ftkit.schema import ChoiceOutput, JsonOutput, Output

__all__ = ["Grammar", "Held", "grammars_of"]

_WRITTEN = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As targets are written: otherwise the model would be led where it was never trained to go."""


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


def grammars_of(outputs: Sequence[Output | None], pretrained: Pretrained) -> list[Grammar | None]:
    """A grammar for each output, equal outputs sharing one; ``None`` for text, which nothing holds.

    Raises:
        ConfigError: see :class:`Grammar`.
    """
    library = require("llguidance.hf", extra="local", needed_for="holding answers to the schema")
    stops = [int(token) for token in pretrained.renderer.stop_ids]
    tokens = library.from_tokenizer(pretrained.tokenizer, eos_token=stops or None)
    made: dict[str, Grammar] = {}
    found: list[Grammar | None] = []
    for output in outputs:
        if not isinstance(output, JsonOutput | ChoiceOutput):
            found.append(None)
            continue
        key = output.model_dump_json()
        if key not in made:
            made[key] = Grammar(output, tokens)
        found.append(made[key])
    return found
