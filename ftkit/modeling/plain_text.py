"""Encode plain text as models are pre-trained on it."""

from __future__ import annotations

import numpy as np

from ftkit.errors import ModelError, Place
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.text_encoder import refuse_unknown_tokens
from ftkit.modeling.tokenized_example import Ints

__all__ = ["encode_plain_text"]


def encode_plain_text(text: str, chat_template: ChatTemplate, place: Place | None = None) -> Ints:
    """Encode a text with the tokens that the tokenizer puts before it, and with an end.

    Args:
        text: the text. What is written like a control token in it is encoded as text.
        chat_template: the chat template with the tokenizer. The text is not rendered with it.
        place: file and line of the row, for errors.

    Returns:
        Token ids, int32 ``[tokens]``; the last one is the end-of-sequence token, if the tokenizer has one.

    Raises:
        ModelError: the tokenizer cannot encode the text.
    """
    tokenizer = chat_template.tokenizer
    try:
        [shielded], _, shield = chat_template.control.shield([{"role": "user", "content": text}], None)
        body = chat_template.control.encode(shielded["content"], shield)
        refuse_unknown_tokens(body, chat_template.vocabulary, tokenizer)
    except ModelError as error:
        raise error if place is None else ModelError(f"{place}: {error}") from error
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    begin = [token for token in map(int, tokenizer("")["input_ids"]) if token not in end]
    return np.concatenate([np.array(begin, np.int32), body, np.array(end, np.int32)]).astype(np.int32)
