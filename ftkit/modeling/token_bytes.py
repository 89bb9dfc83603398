"""The bytes of single tokens, of which a character may need several."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

__all__ = ["token_bytes"]

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
    fallback = _BYTE_FALLBACK.fullmatch(written)
    if fallback is not None:
        return bytes([int(fallback[1], 16)])
    alphabet = _byte_of_character()
    if _is_byte_level(tokenizer) and all(character in alphabet for character in written):
        return bytes(alphabet[character] for character in written)
    return None


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet, which writes every byte as a visible character."""
    return {character: byte for byte, character in bytes_to_unicode().items()}


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = None if backend is None else backend.decoder
    if decoder is None:
        return False
    return '"ByteLevel"' in json.dumps(json.loads(decoder.__getstate__()))
