"""Find rows that are far longer than the model takes, before they are rendered and tokenised whole."""

from __future__ import annotations

from ftkit.data import Row
from ftkit.inference.prompt_length import PromptTooLongError, refuse_too_long
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.rendered_parts import split_thought
from ftkit.task import Message

__all__ = ["is_huge"]

_LONG = 500_000
"""Characters of a row up to which it is tokenised whole, so that its exact length can be said."""


def is_huge(row: Row, template: ChatTemplate, limit: int | None) -> bool:
    """Say whether the texts of a long row alone have more tokens than a sequence may have.

    The work is bounded by ``limit``, not by the size of the row. What templates may leave out does not count.

    Args:
        row: the row.
        template: the model's chat template, with its tokenizer.
        limit: longest sequence allowed, in tokens; None if the model does not say.

    Returns:
        Whether they have. False leaves open whether the row fits.
    """
    if limit is None:
        return False
    conversations = [row.messages, *([] if row.rejected is None else [[*row.prompt, row.rejected]])]
    for messages in conversations:
        if sum(len(message.get("content") or "") for message in messages) <= _LONG:
            continue
        try:
            refuse_too_long(template, [_without_thought(message) for message in messages], None, limit)
        except PromptTooLongError:
            return True
    return False


def _without_thought(message: Message) -> Message:
    """The message without what templates leave out of earlier turns."""
    content = message.get("content")
    split = split_thought(content) if message["role"] == "assistant" and isinstance(content, str) else None
    return message if split is None else {**message, "content": split[2]}
