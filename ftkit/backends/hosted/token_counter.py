"""Count tokens without a network."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["TokenCounter"]

_TOKENS_PER_MESSAGE = 3
"""Special tokens around a message and before an answer (OpenAI cookbook, "How to count tokens with tiktoken")."""


class TokenCounter:
    """Counts the tokens of conversations.

    Args:
        tokenizer: name of the model's tokenizer. ``"o200k_base"`` is counted exactly, by the package bpe-openai. For
            any other tokenizer, or without that package, four bytes of UTF-8 count as a token.

    Attributes:
        exact: whether tokens are counted by the model's own tokenizer.
        name: name of the tokenizer that counts.
        reason: why the count is an estimate; empty if it is exact.
    """

    def __init__(self, tokenizer: str | None) -> None:
        self._encoding: Any = None
        self.reason = "" if tokenizer else "the model's tokenizer is not known"
        if tokenizer == "o200k_base":
            try:
                self._encoding = importlib.import_module("bpe_openai").get_encoding(tokenizer)
            except ImportError:
                self.reason = 'o200k_base needs the package bpe-openai: pip install "ftkit[openai]"'
        elif tokenizer:
            self.reason = f"the tokenizer of {tokenizer} is not on this machine"
        self.exact = self._encoding is not None
        self.name = tokenizer if self.exact and tokenizer else "bytes / 4"

    def count_text(self, text: str) -> int:
        """Count the tokens of a text.

        Args:
            text: the text.

        Returns:
            The number of tokens.
        """
        if self._encoding is not None:
            return len(self._encoding.encode(text))
        return -(-len(text.encode()) // 4)

    def count_messages(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> int:
        """Count the tokens of messages with their special tokens, and of the descriptions of tools.

        Args:
            messages: the messages, in OpenAI's format.
            tools: the tools, in OpenAI's format.

        Returns:
            The number of tokens.
        """
        count = 0
        for message in messages:
            count += _TOKENS_PER_MESSAGE + self.count_text(str(message.get("role", "")))
            content = message.get("content")
            if content:
                text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
                count += self.count_text(text)
            if message.get("tool_calls"):
                count += self.count_text(json.dumps(message["tool_calls"], ensure_ascii=False))
        if tools:
            count += self.count_text(json.dumps(list(tools), ensure_ascii=False))
        return count
