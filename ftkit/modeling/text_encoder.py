"""Text into token ids, exactly as the tokenizer does it and faster than one call of it for each text."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ftkit.errors import ModelError
from ftkit.modeling.tokenized_example import Ints

__all__ = ["TextEncoder", "plain_ids", "refuse_unknown_tokens"]

_CACHED_SEGMENTS = 1024
_COMPARED_TEXTS = 16
"""Texts that are encoded in both ways before the fast one is trusted."""
_MAX_ADDED_TOKENS = 1024
"""With more of them, searching a text for all of them takes longer than it saves."""
_LOCAL_PRE_TOKENIZERS = frozenset({"ByteLevel", "Split", "Digits"})
_LOCAL_NORMALIZERS = frozenset({"NFC"})


class TextEncoder:
    """Encodes texts without adding special tokens.

    A fast tokenizer cuts a text at its added tokens (``<|im_start|>``) first, and encodes the segments between them
    independently of each other. So a segment that many texts share, such as a system prompt, is encoded once. Where a
    tokenizer does not work like this (a normalizer or pre-tokenizer that treats the first segment differently, added
    tokens that swallow the blanks beside them), it encodes each text as a whole.

    Args:
        tokenizer: a transformers tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._added = {} if self._backend is None else _added_tokens(self._backend)
        longest_first = sorted(self._added, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")").split if self._added else None
        self._compared = 0
        self._segment = functools.lru_cache(maxsize=_CACHED_SEGMENTS)(self._encode_segment)

    def encode(self, text: str) -> Ints:
        """Encode a text.

        Args:
            text: the text; added tokens that are written in it become these tokens.

        Returns:
            Token ids, int32 ``[tokens]``.
        """
        if self._split is None or not self._is_plain():
            return self._encode_whole(text)
        if self._compared >= _COMPARED_TEXTS:
            return self._encode_segments(text)
        ids = self._encode_whole(text)
        if not np.array_equal(ids, self._encode_segments(text)):
            self._split = None
        self._compared += 1
        return ids

    def _is_plain(self) -> bool:
        """Whether nobody has set the tokenizer to truncate, to pad, or to take special tokens as text."""
        backend: Any = self._backend
        return backend.truncation is None and backend.padding is None and not backend.encode_special_tokens

    def _encode_whole(self, text: str) -> Ints:
        return np.array(plain_ids(self._tokenizer, text), dtype=np.int32)

    def _encode_segments(self, text: str) -> Ints:
        split: Any = self._split
        segments = [self._segment(segment) for segment in split(text) if segment]
        return np.concatenate(segments) if segments else np.zeros(0, dtype=np.int32)

    def _encode_segment(self, segment: str) -> Ints:
        if segment in self._added:
            return np.array([self._added[segment]], dtype=np.int32)
        backend: Any = self._backend
        with _panics_as_errors(segment):
            [encoding] = backend.encode_batch_fast([segment], add_special_tokens=False)
        return np.array(encoding.ids, dtype=np.int32)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Encode a text without adding special tokens.

    Args:
        tokenizer: a transformers tokenizer.
        text: the text.

    Returns:
        Token ids.

    Raises:
        ModelError: the tokenizer gave up, see :mod:`ftkit.modeling.tokenizer_limits`.
    """
    with _panics_as_errors(text):
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@contextlib.contextmanager
def _panics_as_errors(text: str) -> Iterator[None]:
    """Raise what a library in Rust raises when it gives up as an ``Exception``, which ends a request, not a thread."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        problem = f"the tokenizer cannot encode a text of {len(text):,} characters: {str(error)[:200]}"
    else:
        return
    raise ModelError(problem)


def refuse_unknown_tokens(ids: Ints, vocabulary: int | None, tokenizer: Any) -> None:
    """Refuse tokens that a model does not have.

    Args:
        ids: token ids.
        vocabulary: rows of the model's embedding; None if the model is not known.
        tokenizer: the transformers tokenizer that made them.

    Raises:
        ModelError: there is such a token.
    """
    if vocabulary is not None and len(ids) and int(ids.max()) >= vocabulary:
        token = int(ids.max())
        raise ModelError(
            f"the tokenizer makes token {token} of {tokenizer.convert_ids_to_tokens(token)!r}, and the model has "
            f"{vocabulary} tokens: it was added to the tokenizer only. Add it to the model, too "
            "(model.resize_token_embeddings(len(tokenizer)), then save both), or take it out of the tokenizer"
        )


def _added_tokens(backend: Any) -> dict[str, int]:
    """Which added tokens cut a text into segments, with their ids; none if segments depend on each other."""
    try:
        normalizer, pre_tokenizer = _kinds(backend.normalizer), _kinds(backend.pre_tokenizer)
    except Exception:  # a component written in Python cannot be serialised
        return {}
    if not (normalizer <= _LOCAL_NORMALIZERS and pre_tokenizer and pre_tokenizer <= _LOCAL_PRE_TOKENIZERS):
        return {}
    # Tokens that are found after normalization are found inside a segment, as they would be in the whole text.
    added = {number: token for number, token in backend.get_added_tokens_decoder().items() if not token.normalized}
    if len(added) > _MAX_ADDED_TOKENS:
        return {}
    if any(token.lstrip or token.rstrip or token.single_word for token in added.values()):
        return {}
    return {token.content: number for number, token in added.items()}


def _kinds(component: Any) -> set[str]:
    """Which normalizers or pre-tokenizers a tokenizer's component consists of."""
    if component is None:
        return set()
    pending, kinds = [json.loads(component.__getstate__())], set()
    while pending:
        part = pending.pop()
        if part["type"] == "Sequence":
            pending += part.get("normalizers", []) + part.get("pretokenizers", [])
        else:
            kinds.add("ByteLevel with a prefix space" if part.get("add_prefix_space") else part["type"])
    return kinds
