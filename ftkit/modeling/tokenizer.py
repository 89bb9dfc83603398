"""A model's way of writing conversations in tokens, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transformers import AutoTokenizer, GenerationConfig

from ftkit.errors import ModelError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.embedded_model import expand_embedded, is_embedded
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.pretrained import check_template, load_config, stop_ids
from ftkit.modeling.tokenized_example import TokenizedConversation

__all__ = ["TokenText", "load_chat_template", "token_texts"]


@dataclass(frozen=True, slots=True)
class TokenText:
    """A token as text, or the few tokens that are one character together.

    Attributes:
        text: its characters; special tokens as they are written, e.g. ``<|im_end|>``.
        count: tokens, mostly 1.
        supervised: whether they carry loss.
    """

    text: str
    count: int
    supervised: bool


def load_chat_template(source: ModelSource) -> ChatTemplate:
    """The renderer of ``source``, the same that loading the whole model gives: tokenizer, chat template, stop tokens.

    Raises:
        ModelError: files missing or unreadable, the hub out of reach, or a chat template that is not the one the model
            was trained with.
    """
    if is_embedded(source.base):
        expand_embedded()
    with quiet():
        config = load_config(source)
        try:
            tokenizer = AutoTokenizer.from_pretrained(source.tokenizer)
        except (OSError, ValueError, ImportError) as error:
            raise ModelError(f"cannot load the tokenizer of {source.name!r}: {error}") from error
        try:
            generation = GenerationConfig.from_pretrained(source.base)
        except OSError:  # a model without that file says it in its config, which is what loading its weights reads
            generation = GenerationConfig.from_model_config(config)
    check_template(source, tokenizer)
    return ChatTemplate(tokenizer, stop_ids(generation))


def token_texts(chat_template: ChatTemplate, rendered: TokenizedConversation) -> Iterator[TokenText]:
    """The tokens of a sequence, one by one, as texts that together are the whole text.

    A token alone does not know its text: one that begins a word may lose its blank, and a character outside ASCII may
    be spread over several tokens. So each text is what the token adds to those before it.
    """
    ids, supervised = rendered.ids.tolist(), rendered.supervised.tolist()
    before = begin = 0  # the token whose text is known last, and the first whose text is not
    for end in range(1, len(ids) + 1):
        known = _text(chat_template.tokenizer, ids[before:begin])
        text = _text(chat_template.tokenizer, ids[before:end])[len(known) :]
        whole = text and not text.endswith("\N{REPLACEMENT CHARACTER}")
        if whole or end == len(ids) or supervised[end] != supervised[begin]:
            yield TokenText(text, end - begin, supervised[begin])
            before, begin = begin, end


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
