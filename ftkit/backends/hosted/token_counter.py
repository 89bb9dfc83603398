"""Counting tokens without a network."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["TokenCounter"]

_PER_MESSAGE = 3
"""Marks around a message and before an answer, as OpenAI's cookbook counts them (How to count tokens with tiktoken)."""


class TokenCounter:
    """Counts tokens of conversations.

    Args:
        tokenizer: ``"o200k_base"`` is counted by the package bpe-openai, which carries its ranks. Of any other, and
            without that package, four bytes of UTF-8 count as a token.
    """

    def __init__(self, tokenizer: str | None) -> None:
        self._encoding: Any = None
        self.why = "" if tokenizer else "the model's tokenizer is not known"
        if tokenizer == "o200k_base":
            try:
                self._encoding = importlib.import_module("bpe_openai").get_encoding(tokenizer)
            except ImportError:
                self.why = 'o200k_base needs the package bpe-openai: pip install "ftkit[openai]"'
        elif tokenizer:
            self.why = f"the tokenizer of {tokenizer} is not on this machine"
        self.exact = self._encoding is not None
        self.name = tokenizer if self.exact and tokenizer else "bytes / 4"

    def text(self, text: str) -> int:
        """Tokens of a text."""
        if self._encoding is not None:
            return len(self._encoding.encode(text))
        return -(-len(text.encode()) // 4)

    def messages(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> int:
        """Tokens of messages with their marks, and of the tools' descriptions."""
        count = 0
        for message in messages:
            count += _PER_MESSAGE + self.text(str(message.get("role", "")))
            content = message.get("content")
            if content:
                count += self.text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
            if message.get("tool_calls"):
                count += self.text(json.dumps(message["tool_calls"], ensure_ascii=False))
        if tools:
            count += self.text(json.dumps(list(tools), ensure_ascii=False))
        return count
