"""``messages`` that end with a question: OpenAI's form for reinforcement fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ftkit.data.formats.base import Conversation, RawRow
from ftkit.data.formats.openai import OpenAI
from ftkit.errors import DataError

__all__ = ["OpenAIPrompts"]


class OpenAIPrompts(OpenAI):
    """``{"messages": […], "tools": […], …}``: a conversation to answer, with whatever graders read beside it.

    Source: the guide to reinforcement fine-tuning, https://platform.openai.com/docs/guides/reinforcement-fine-tuning.
    """

    name: ClassVar[str] = "openai_prompts"
    needs: ClassVar[str] = "messages that end with a question"
    answered: ClassVar[bool] = False

    def recognises(self, columns: Mapping[str, Any]) -> bool:
        messages = columns.get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        return isinstance(last, Mapping) and last.get("role") in ("user", "tool", "system", "developer")

    def conversation(self, row: RawRow) -> Conversation:
        conversation = super().conversation(row)
        if conversation.messages[-1]["role"] == "assistant":
            raise DataError(
                "the conversation ends with an answer, and the rows are prompts; leave the answer out, or keep it in a "
                "column of its own for graders",
                place=row.place,
                field=f"messages[{len(conversation.messages) - 1}]",
            )
        return conversation
