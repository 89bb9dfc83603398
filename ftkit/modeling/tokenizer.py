"""Load a model's tokenizer and chat template without its weights, and show tokens as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig

from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.embedded_model import expand_embedded, is_embedded
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.load_errors import load_errors
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.pretrained import load_config, load_tokenizer, stop_ids
from ftkit.modeling.tokenized_example import TokenizedConversation

__all__ = ["TokenText", "load_chat_template", "token_texts"]


@dataclass(frozen=True, slots=True)
class TokenText:
    """The text of a token, or of several tokens that form one character.

    Attributes:
        text: the characters; special tokens as they are written, e.g. ``<|im_end|>``.
        count: number of tokens, usually 1.
        supervised: whether they have a loss.
    """

    text: str
    count: int
    supervised: bool


def load_chat_template(source: ModelSource) -> ChatTemplate:
    """Load tokenizer, chat template and stop tokens of a model, the same as when its weights are loaded.

    Args:
        source: the model.

    Returns:
        The chat template with its tokenizer.

    Raises:
        ModelError: files are missing or unreadable, the hub cannot be reached, or the chat template is not the one of
            the training.
    """
    if is_embedded(source.base):
        expand_embedded()
    tokenizer = load_tokenizer(source)
    with quiet(), load_errors(f"cannot load the generation config of {source.name!r}"):
        config = load_config(source)
        try:
            generation = GenerationConfig.from_pretrained(source.base)
        except OSError:  # without that file, transformers reads the model's config instead
            generation = GenerationConfig.from_model_config(config)
    return ChatTemplate(tokenizer, stop_ids(generation))


def token_texts(chat_template: ChatTemplate, sequence: TokenizedConversation) -> Iterator[TokenText]:
    """Decode the tokens of a sequence one by one; together the texts are the text of the sequence.

    A single token cannot be decoded alone: the first token of a word may lose its space, and a character outside ASCII
    may consist of several tokens. Therefore each text is what a token adds to the text before it.

    Args:
        chat_template: the chat template with the tokenizer.
        sequence: the sequence.

    Yields:
        The texts in order.
    """
    ids, supervised = sequence.ids.tolist(), sequence.supervised.tolist()
    before = begin = 0  # first token of the context, and first token without a text
    for end in range(1, len(ids) + 1):
        context = _text(chat_template.tokenizer, ids[before:begin])
        text = _text(chat_template.tokenizer, ids[before:end])[len(context) :]
        complete = text and not text.endswith("\N{REPLACEMENT CHARACTER}")
        if complete or end == len(ids) or supervised[end] != supervised[begin]:
            yield TokenText(text, end - begin, supervised[begin])
            before, begin = begin, end


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
