"""Constrained decoding: which tokens an output schema allows next, by llguidance."""

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

__all__ = ["Grammar", "GrammarCache", "GrammarState", "mask_logits"]

_JSON_FORMAT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""The same whitespace as in training targets, so that the model sees only what it was trained on."""

_CACHED_GRAMMARS = 64


class Grammar:
    """What an output schema allows, compiled for one tokenizer.

    Args:
        output: the schema of the answer.
        tokens: the tokenizer as llguidance takes it.

    Raises:
        ConfigError: llguidance does not support the schema; the message says what.
    """

    def __init__(self, output: JsonOutput | ChoiceOutput, tokens: Any) -> None:
        library = require("llguidance", extra="local", needed_for="constraining answers to the schema")
        if isinstance(output, JsonOutput):
            text = library.LLMatcher.grammar_from_json_schema(json.dumps(output.json_schema), defaults=_JSON_FORMAT)
        else:
            text = library.LLMatcher.grammar_from_regex("|".join(map(re.escape, output.choices)))
        self._matcher = library.LLMatcher(tokens, text, log_level=0)
        if self._matcher.is_error():
            raise ConfigError(
                f"answers cannot be constrained to the schema: {self._matcher.get_error().splitlines()[0]}"
            )

    def start(self) -> GrammarState:
        """Start an answer.

        Returns:
            The state before the first token.
        """
        return GrammarState(self._matcher.deep_copy())


class GrammarState:
    """How far one answer has come in its grammar.

    Args:
        matcher: llguidance's matcher, owned by this state.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed_tokens(self, vocabulary: int) -> torch.Tensor:
        """Say which tokens may come next; the end of turn is among them once the answer is complete.

        Args:
            vocabulary: number of logits of the model.

        Returns:
            bool ``[vocabulary]``.
        """
        bias = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8) > 0
        allowed = torch.zeros(vocabulary, dtype=torch.bool)
        count = min(vocabulary, len(bias))
        allowed[:count] = bias[:count]
        return allowed

    def accept(self, token: int) -> None:
        """Advance by the token that was chosen.

        Args:
            token: its id, one of :meth:`allowed_tokens`.
        """
        self._matcher.consume_token(token)


def mask_logits(logits: torch.Tensor, states: Sequence[GrammarState | None]) -> torch.Tensor:
    """Set the logits of tokens that a row's grammar forbids to minus infinity.

    Args:
        logits: ``[rows, vocabulary]``.
        states: the grammar state of each row, or None for an unconstrained row.

    Returns:
        ``[rows, vocabulary]``; ``logits`` itself if no row is constrained.
    """
    if all(state is None for state in states):
        return logits
    unconstrained = torch.ones(logits.shape[-1], dtype=torch.bool)
    allowed = [unconstrained if state is None else state.allowed_tokens(logits.shape[-1]) for state in states]
    return logits.masked_fill(~torch.stack(allowed).to(logits.device), float("-inf"))


class GrammarCache:
    """Compiled grammars of one tokenizer. The latest 64 are kept, because requests often repeat a schema.

    Args:
        tokenizer: a transformers tokenizer.
        stop_token_ids: token ids that end a turn.
    """

    def __init__(self, tokenizer: Any, stop_token_ids: Sequence[int]) -> None:
        library = require("llguidance.hf", extra="local", needed_for="constraining answers to the schema")
        eos = [int(token) for token in stop_token_ids] or None
        self._tokens = library.from_tokenizer(tokenizer, eos_token=eos)
        self._grammars: OrderedDict[str, Grammar] = OrderedDict()

    def get(self, output: Output | None) -> Grammar | None:
        """Return the grammar of an output schema.

        Args:
            output: the schema; None for free text.

        Returns:
            The compiled grammar; None for text, which needs none.

        Raises:
            ConfigError: llguidance does not support the schema.
        """
        if not isinstance(output, JsonOutput | ChoiceOutput):
            return None
        key = output.model_dump_json()
        if key not in self._grammars:
            self._grammars[key] = Grammar(output, self._tokens)
        self._grammars.move_to_end(key)
        while len(self._grammars) > _CACHED_GRAMMARS:
            self._grammars.popitem(last=False)
        return self._grammars[key]
