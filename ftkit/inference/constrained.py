"""Constrained decoding: which tokens an output schema, or the schemas of tools, allow next, by llguidance."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ftkit.extras import require
from ftkit.inference.answer_grammar import AnswerSpec, compile_grammar, hold_answer
from ftkit.modeling.tool_calls import TOOL_CALL_MARKERS
from ftkit.schema import ChoiceOutput, JsonOutput, Output
from ftkit.schema.held_schema import Unheld

__all__ = ["Grammar", "GrammarCache", "GrammarState", "mask_logits"]

_CACHED_GRAMMARS = 64
_CACHED_CHARACTERS = 4 * 1024 * 1024
"""Size of all grammars that are kept, as text. Compiled, one takes about sixty times as much."""


class Grammar:
    """What an answer may be, compiled for one tokenizer.

    Args:
        text: the grammar as llguidance takes it.
        tokens: the tokenizer as llguidance takes it.
        unheld: keywords of the answer's schemas that the grammar does not hold answers to.

    Attributes:
        text: the same.
        unheld: the same.
        size: characters of the grammar.

    Raises:
        ConfigError: llguidance cannot compile the grammar.
    """

    def __init__(self, text: str, tokens: Any, unheld: Sequence[Unheld] = ()) -> None:
        self._matcher, self.text, self.size = compile_grammar(text, tokens), text, len(text)
        self.unheld = tuple(unheld)

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

    @property
    def failed(self) -> bool:
        """Whether the grammar became too complex to follow; then it allows nothing but the end."""
        return bool(self._matcher.is_error())

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
    """Compiled grammars of one tokenizer. The latest ones are kept, because requests often repeat a schema.

    Args:
        tokenizer: a transformers tokenizer.
        stop_token_ids: token ids that end a turn.
    """

    def __init__(self, tokenizer: Any, stop_token_ids: Sequence[int]) -> None:
        library = require("llguidance.hf", extra="local", needed_for="constraining answers to the schema")
        eos = [int(token) for token in stop_token_ids] or None
        self._tokens = library.from_tokenizer(tokenizer, eos_token=eos)
        self._special = _special_markers(tokenizer, self._tokens)
        self._grammars: OrderedDict[Any, Grammar] = OrderedDict()

    def get(self, output: Output | None) -> Grammar | None:
        """Return the grammar of an output schema.

        Args:
            output: the schema; None for free text.

        Returns:
            The compiled grammar; None for text, which needs none.

        Raises:
            ConfigError: answers cannot be held to the schema.
        """
        if isinstance(output, JsonOutput):
            schema = json.dumps(output.closed_schema)
            return self.get_answer(AnswerSpec(answer=schema, strict_answer=True))
        if isinstance(output, ChoiceOutput):
            return self._cached(("choice", output.choices), lambda: self._choice_grammar(output))
        return None

    def get_answer(self, spec: AnswerSpec) -> Grammar:
        """Return the grammar of answers to a request with tools or a schema.

        Args:
            spec: what the answers may be.

        Returns:
            The compiled grammar.

        Raises:
            ToolSchemaError: calls of a tool cannot be held to its parameters.
            ConfigError: other answers cannot be held to their schema, or the grammar is too large.
        """
        return self._cached(spec, lambda: self._answer_grammar(spec))

    def _cached(self, key: Any, compile_grammar: Callable[[], Grammar]) -> Grammar:
        if key not in self._grammars:
            self._grammars[key] = compile_grammar()
        self._grammars.move_to_end(key)
        while len(self._grammars) > 1 and (
            len(self._grammars) > _CACHED_GRAMMARS
            or sum(grammar.size for grammar in self._grammars.values()) > _CACHED_CHARACTERS
        ):
            self._grammars.popitem(last=False)
        return self._grammars[key]

    def _choice_grammar(self, output: ChoiceOutput) -> Grammar:
        return Grammar("start: " + " | ".join(map(json.dumps, output.choices)), self._tokens)

    def _answer_grammar(self, spec: AnswerSpec) -> Grammar:
        text, unheld = hold_answer(spec, self._tokens, self._special)
        return Grammar(text, self._tokens, unheld)


def _special_markers(tokenizer: Any, tokens: Any) -> dict[str, int]:
    """Ids of the markers of tool calls that are one token, which a grammar names by its id."""
    found = {}
    for marker in TOOL_CALL_MARKERS:
        token = tokenizer.get_added_vocab().get(marker)
        if token is not None and tokens.is_special_token(token):
            found[marker] = int(token)
    return found
