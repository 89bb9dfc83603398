"""Texts of messages that are written like control tokens, e.g. ``<|im_end|>``, which are encoded as text.

A tokenizer reads such a text as the token itself, so a user who writes ``<|im_end|><|im_start|>system`` could end the
own turn and begin another. Therefore a character that no message contains is put between the letters of such texts
before the conversation is rendered. Only the tokens that the chat template itself writes then become tokens.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ftkit.errors import ModelError
from ftkit.modeling.text_encoder import TextEncoder
from ftkit.modeling.tokenized_example import Ints

__all__ = ["ControlTokens", "map_texts", "texts_of"]

_SHIELDS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Characters that Unicode reserves for use inside programs."""


class ControlTokens:
    """The tokens of a tokenizer that no message may contain.

    Args:
        tokenizer: a transformers tokenizer.
        encoder: encodes texts without such tokens in messages.

    Attributes:
        added: ids of the tokenizer's added tokens, by their text.
        special: those of them that are special, and the tokens that begin and end a text.
    """

    def __init__(self, tokenizer: Any, encoder: TextEncoder) -> None:
        self._tokenizer, self._encoder = tokenizer, encoder
        decoder = tokenizer.added_tokens_decoder
        self.added: dict[str, int] = {token.content: int(number) for number, token in decoder.items()}
        marked = {token.content for token in decoder.values() if token.special}
        self.special: frozenset[str] = frozenset(marked | (set(tokenizer.all_special_tokens) & self.added.keys()))
        self._in_text = _pattern(self.special)
        self._in_answer = _pattern(())
        backend = getattr(tokenizer, "backend_tokenizer", None)
        normalizes = backend is not None and backend.normalizer is not None
        # Tokens that are found in the normalized text: "＜|im_end|＞" is one where the normalizer is NFKC.
        late = [token.content for token in decoder.values() if token.normalized] if normalizes else []
        self._late_ids = np.array([self.added[text] for text in late], dtype=np.int32)
        self._late = _pattern(late, shortest=1)
        self._lock = threading.Lock()
        self._plain: _PlainTokenizer | None = None

    def set_structure(self, tokens: Collection[str]) -> None:
        """Say which tokens the chat template writes around turns. Not even an assistant's message may contain them.

        The other special tokens may be part of an answer, as those around a thought or a tool call are.

        Args:
            tokens: their texts.
        """
        self._in_text = _pattern(self.special | set(tokens))
        self._in_answer = _pattern(tokens)

    def written_in(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None
    ) -> dict[str, list[str]]:
        """Find control tokens in the texts of a conversation.

        Args:
            messages: the conversation.
            tools: the tools offered.

        Returns:
            The tokens as they are written, by the field that contains them, e.g. ``messages[0].content``.
        """
        found: dict[str, list[str]] = {}
        for index, message in enumerate(messages):
            pattern = self._in_answer if message.get("role") == "assistant" else self._in_text
            for key, value in message.items():
                found[f"messages[{index}].{key}"] = [one for text in texts_of(value) for one in pattern.findall(text)]
        found["tools"] = [one for text in texts_of(tools) for one in self._in_text.findall(text)]
        return {field: tokens for field, tokens in found.items() if tokens}

    def shield(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None, str]:
        """Mark the control tokens in the texts of a conversation.

        Args:
            messages: the conversation in the template's form.
            tools: the tools offered.

        Returns:
            Conversation and tools with the marks, and the character that marks them; empty if there is nothing to mark.

        Raises:
            ModelError: the conversation contains every character that could mark them.
        """
        patterns = [self._in_answer if one.get("role") == "assistant" else self._in_text for one in messages]
        found = any(
            pattern.search(text) for one, pattern in zip(messages, patterns, strict=True) for text in texts_of(one)
        )
        if not found and not any(self._in_text.search(text) for text in texts_of(tools)):
            return [*messages], None if tools is None else [*tools], ""
        every = "".join(texts_of([*messages, *(tools or ())]))
        shield = next((char for char in _SHIELDS if char not in every), None)
        if shield is None:
            raise ModelError("a message contains every character of U+FDD0 to U+FDEF, which are not for texts")

        def marked(pattern: re.Pattern[str]) -> Callable[[str], str]:
            return lambda text: pattern.sub(lambda match: shield.join(match[0]), text)

        shielded = [map_texts(one, marked(pattern)) for one, pattern in zip(messages, patterns, strict=True)]
        return shielded, None if tools is None else map_texts([*tools], marked(self._in_text)), shield

    def encode(self, text: str, shield: str) -> Ints:
        """Encode a rendered conversation.

        Args:
            text: the text.
            shield: the character that :meth:`shield` returned.

        Returns:
            Token ids, int32 ``[tokens]``.

        Raises:
            ModelError: the tokenizer has no way to encode a control token's text as text.
        """
        if not shield or shield not in text:
            ids = self._encoder.encode(text)
            if not self._has_more(ids, text):
                return ids
        with self._lock:
            if self._plain is None:
                self._plain = _PlainTokenizer(self._tokenizer, self.added)
            return self._plain.encode(text, shield)

    def _has_more(self, ids: Ints, text: str) -> bool:
        """Whether there are control tokens that nobody has written as such: the normalizer has made them."""
        if not len(self._late_ids):
            return False
        return int(np.isin(ids, self._late_ids).sum()) > sum(1 for _ in self._late.finditer(text))


class _PlainTokenizer:
    """A copy of a tokenizer whose added tokens have other, random names, so that no message can contain them."""

    def __init__(self, tokenizer: Any, added: Mapping[str, int]) -> None:
        from tokenizers import Tokenizer

        try:
            parts = json.loads(tokenizer.backend_tokenizer.to_str())
        except Exception as error:  # no fast tokenizer, or one with a component written in Python
            raise ModelError(
                "a message contains the text of a control token, and this tokenizer cannot encode it as text; remove "
                "it from the message"
            ) from error
        self._added = added
        names = {text: f"\ue000{secrets.token_hex(8)}\ue001" for text in added}
        for token in parts["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        parts["post_processor"] = parts["truncation"] = parts["padding"] = None
        self._copy = Tokenizer.from_str(json.dumps(parts))
        own = {token.content: number for number, token in self._copy.get_added_tokens_decoder().items()}
        self._names = names
        self._ids = {own[names[text]]: number for text, number in added.items() if names[text] in own}
        self._pattern = _pattern(added, shortest=1)

    def encode(self, text: str, shield: str) -> Ints:
        written: list[int] = []

        def rename(match: re.Match[str]) -> str:
            written.append(self._added[match[0]])
            return self._names[match[0]]

        renamed = self._pattern.sub(rename, text).replace(shield, "")
        found = self._copy.encode(renamed, add_special_tokens=False).ids
        ids = [self._ids.get(number, number) for number in found]
        values = set(self._added.values())
        if sorted(number for number in ids if number in values) != sorted(written):
            raise ModelError(
                "a message contains the text of a control token, and this tokenizer makes the token of it in any case; "
                "remove it from the message"
            )
        return np.array(ids, dtype=np.int32)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Copy JSON data with every text changed, keys included.

    Args:
        value: JSON data.
        change: returns the new text.

    Returns:
        The copy.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): map_texts(item, change) for key, item in value.items()}
    return [map_texts(item, change) for item in value] if isinstance(value, list | tuple) else value


def texts_of(value: Any) -> Iterator[str]:
    """Walk through the texts of JSON data, keys included.

    Args:
        value: JSON data.

    Yields:
        The texts.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, Mapping)):  # the abstract class alone takes longer
        for key, item in value.items():
            yield key
            yield from texts_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_of(item)


def _pattern(tokens: Collection[str], *, shortest: int = 2) -> re.Pattern[str]:
    """Finds tokens, the longest first, as tokenizers do. One character cannot be written as text and as a token."""
    longest_first = sorted((token for token in tokens if len(token) >= shortest), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
