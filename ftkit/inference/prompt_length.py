"""Refuse prompts that are far longer than a model's context, before they are rendered and tokenised whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ftkit.errors import ModelError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.rendered_parts import REASONING
from ftkit.modeling.text_encoder import plain_ids
from ftkit.task import Message

__all__ = ["PromptTooLongError", "refuse_too_long"]

_PIECE = 16_384
"""Characters that are tokenised at a time."""
_CHARACTERS_PER_TOKEN = 64
"""Texts with more characters than this for each token of the context are refused by their length alone."""
_SHORT = 8
"""Texts with fewer characters than this for each token of the context are left to the tokenizer."""
_SLACK = 1.05
"""Counted in pieces, a text has a few tokens more than as a whole."""


class PromptTooLongError(ModelError):
    """The prompt is longer than the model's context.

    Args:
        limit: tokens of the context.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the prompt is longer than the model's context of {limit:,} tokens")
        self.limit = limit

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it."""
        return type(self), (self.limit,)


def refuse_too_long(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None, limit: int
) -> None:
    """Count the tokens of the texts of a conversation piece by piece, only until they exceed the context.

    The work is bounded by the size of the context, not by that of the prompt. A prompt a little longer than the context
    may pass; the caller counts its tokens exactly.

    Args:
        template: the model's chat template, with its tokenizer.
        messages: the conversation.
        tools: the offered tools.
        limit: tokens of the model's context.

    Raises:
        PromptTooLongError: the texts have more tokens than that.
    """
    if sum(map(len, _texts(messages, tools))) > limit * _CHARACTERS_PER_TOKEN:
        raise PromptTooLongError(limit)
    # Templates leave the reasoning of earlier turns out, so that it takes no tokens.
    texts = [*_texts([_without_reasoning(message) for message in messages], tools)]
    characters = sum(map(len, texts))
    if characters < limit * _SHORT:
        return
    count = 0
    for text in texts:
        for start in range(0, len(text), _PIECE):
            count += len(plain_ids(template.tokenizer, text[start : start + _PIECE]))
            if count > limit * _SLACK + 64:
                raise PromptTooLongError(limit)


def _without_reasoning(message: Message) -> Mapping[str, Any]:
    return {name: value for name, value in message.items() if name not in REASONING}


def _texts(messages: Sequence[Mapping[str, Any]], tools: Sequence[dict[str, Any]] | None) -> Iterator[str]:
    for message in messages:
        for value in message.values():
            if isinstance(value, str):
                yield value
            elif value:
                yield json.dumps(value, ensure_ascii=False, default=str)
    for tool in tools or ():
        yield json.dumps(tool, ensure_ascii=False, default=str)
