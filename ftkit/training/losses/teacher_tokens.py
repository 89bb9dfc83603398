"""A teacher's log-probabilities of an answer, laid beside the tokens of the model in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ftkit.data.token_logprobs import Alternatives
from ftkit.errors import DataError, Place
from ftkit.modeling.tokenized_example import TeacherTokens, TokenizedConversation
from ftkit.modeling.vocabulary_bytes import vocabulary_bytes

__all__ = ["align"]

_LEAST_REST = 1e-7
"""Least probability of the tokens that the teacher does not list, as in TRL, so that no logarithm is infinite."""
_MOST_BEFORE = 64
"""Most tokens that the chat template may write into the answer before its text."""


def align(
    positions: Sequence[Alternatives], sequence: TokenizedConversation, tokenizer: Any, place: Place
) -> TeacherTokens:
    """Find the model's tokens for the tokens that a teacher lists.

    Tokens that the chat template adds around the answer's text, such as the end of the turn, count as certain.

    Args:
        positions: what may stand at each position of the answer.
        sequence: the conversation in the model's tokens, of which the answer is supervised.
        tokenizer: the model's tokenizer.
        place: of the row.

    Returns:
        The teacher's tokens at each supervised token of the sequence.

    Raises:
        DataError: the teacher divides the answer into other tokens.
    """
    vocabulary = vocabulary_bytes(tokenizer)
    answer = sequence.ids[sequence.supervised].tolist()
    written = [next(iter(position)) for position in positions]
    begin = _begin([vocabulary.bytes_of.get(token, b"") for token in answer], written, place)
    width = max(len(position) for position in positions)
    tokens = np.repeat(np.array(answer, dtype=np.int32)[:, None], width, axis=1)
    logprobs = np.full((len(answer), width), -np.inf, dtype=np.float32)
    logprobs[:, 0] = math.log1p(-_LEAST_REST)
    for at, position in enumerate(positions, start=begin):
        known = {vocabulary.ids[content]: value for content, value in position.items() if content in vocabulary.ids}
        # The answer's own token is the first, also where two tokens have the same bytes.
        own = position[written[at - begin]]
        pairs = [(answer[at], own), *((token, value) for token, value in known.items() if token != answer[at])]
        tokens[at, : len(pairs)] = [token for token, _ in pairs]
        logprobs[at, : len(pairs)] = [value for _, value in pairs]
    rest = np.log(np.maximum(1 - np.exp(logprobs.astype(np.float64)).sum(axis=1), _LEAST_REST)).astype(np.float32)
    return TeacherTokens(tokens, logprobs, rest)


def _begin(answer: list[bytes], written: list[bytes], place: Place) -> int:
    """The position of the answer's first written token."""
    for begin in range(min(_MOST_BEFORE, max(0, len(answer) - len(written))) + 1):
        if answer[begin : begin + len(written)] == written:
            return begin
    at = next((at for at, pair in enumerate(zip(answer, written, strict=False)) if pair[0] != pair[1]), len(answer))
    theirs = written[at].decode("utf-8", "replace") if at < len(written) else "nothing"
    ours = answer[at].decode("utf-8", "replace") if at < len(answer) else "nothing"
    raise DataError(
        f"the teacher's tokens are not the model's: token {at + 1} of the answer is {theirs!r} there and {ours!r} "
        "here. Only a teacher with the same tokens can be learned token by token; train on its answers with SFT",
        place=place,
        field="logprobs",
    )
