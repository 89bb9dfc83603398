"""The bytes of every token of a vocabulary, to find a token by what it writes."""

from __future__ import annotations

import functools
from typing import Any

from ftkit.modeling.token_bytes import byte_level_alphabet, fallback_byte, is_byte_level

__all__ = ["VocabularyBytes", "vocabulary_bytes"]


class VocabularyBytes:
    """A vocabulary by bytes.

    Args:
        tokenizer: a transformers tokenizer.

    Attributes:
        ids: the ids of tokens by their bytes.
        bytes_of: the bytes of tokens by their ids.
    """

    def __init__(self, tokenizer: Any) -> None:
        alphabet = byte_level_alphabet() if is_byte_level(tokenizer) else None
        added = {int(number) for number in tokenizer.added_tokens_decoder}
        self.bytes_of: dict[int, bytes] = {
            number: text.encode() if number in added else _bytes(text, alphabet)
            for text, number in tokenizer.get_vocab().items()
        }
        self.ids: dict[bytes, int] = {content: number for number, content in self.bytes_of.items()}


def _bytes(text: str, alphabet: dict[str, int] | None) -> bytes:
    if alphabet is not None and all(character in alphabet for character in text):
        return bytes(alphabet[character] for character in text)
    byte = fallback_byte(text)
    return text.replace("\N{LOWER ONE EIGHTH BLOCK}", " ").encode() if byte is None else byte


@functools.lru_cache(maxsize=4)
def vocabulary_bytes(tokenizer: Any) -> VocabularyBytes:
    """Return a tokenizer's vocabulary by bytes, which is made once.

    Args:
        tokenizer: a transformers tokenizer.

    Returns:
        The vocabulary.
    """
    return VocabularyBytes(tokenizer)
