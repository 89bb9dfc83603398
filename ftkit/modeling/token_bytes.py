"""The bytes of single tokens, of which a character may need several."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

__all__ = ["byte_level_alphabet", "fallback_byte", "is_byte_level", "token_bytes"]

_BYTE_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""How SentencePiece writes a byte that is no character in its vocabulary."""


def token_bytes(tokenizer: Any, token: int) -> bytes | None:
    """Return the bytes of a token that is a part of a character.

    Args:
        tokenizer: a transformers tokenizer.
        token: the token's id.

    Returns:
        The bytes; None if the tokenizer has no tokens for bytes.
    """
    written = tokenizer.convert_ids_to_tokens(token)
    if not isinstance(written, str):
        return None
    byte = fallback_byte(written)
    if byte is not None:
        return byte
    alphabet = byte_level_alphabet()
    if is_byte_level(tokenizer) and all(character in alphabet for character in written):
        return bytes(alphabet[character] for character in written)
    return None


def fallback_byte(written: str) -> bytes | None:
    """Return the byte that a token of a SentencePiece vocabulary stands for.

    Args:
        written: the token as the vocabulary writes it, e.g. ``<0x0A>``.

    Returns:
        The byte; None if the token is another one.
    """
    fallback = _BYTE_FALLBACK.fullmatch(written)
    return None if fallback is None else bytes([int(fallback[1], 16)])


@functools.cache
def byte_level_alphabet() -> dict[str, int]:
    """Return GPT-2's alphabet, which writes every byte as a visible character.

    Returns:
        The byte of each character.
    """
    return {character: byte for byte, character in bytes_to_unicode().items()}


def is_byte_level(tokenizer: Any) -> bool:
    """Say whether the vocabulary of a tokenizer is written in :func:`byte_level_alphabet`.

    Args:
        tokenizer: a transformers tokenizer.

    Returns:
        Whether it is.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = None if backend is None else backend.decoder
    if decoder is None:
        return False
    return '"ByteLevel"' in json.dumps(json.loads(decoder.__getstate__()))
