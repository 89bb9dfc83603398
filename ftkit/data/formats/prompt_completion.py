"""``prompt`` and ``completion``: two texts (OpenAI's legacy form and TRL's standard one) or two lists of messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_list, read_text
from ftkit.data.formats.history import read_history
from ftkit.data.formats.messages import read_turns
from ftkit.data.formats.response_items import chat_turns
from ftkit.data.formats.tools import read_tools
from ftkit.data.formats.trl import trl_message, with_tools
from ftkit.data.row import Row
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["PromptCompletion"]


class PromptCompletion(Format):
    """Texts become one user and one assistant turn, after the turns of ``history``.

    Of lists only the completion is learned, as in TRL, so the assistant turns of the prompt get ``weight`` 0.
    """

    name = "prompt_completion"
    columns: ClassVar[tuple[str, ...]] = ("prompt", "completion", "history", "tools")
    required = "prompt and completion"
    answer_field = "completion"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return "prompt" in columns and "completion" in columns

    @override
    def read(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        tools = read_tools(columns.get("tools"), place, "tools", nulls_are_absent=row.nulls_are_absent)
        if not isinstance(columns.get("prompt"), list):
            prompt, completion = read_text(row, "prompt"), read_text(row, "completion")
            if not completion.strip():
                raise DataError("an empty assistant turn", place=place, field="completion", problem="empty_answer")
            turns: list[tuple[str, Message]] = [
                *read_history(row),
                ("prompt", {"role": "user", "content": prompt}),
                ("completion", {"role": "assistant", "content": completion}),
            ]
            return Conversation([message for _, message in turns], tools)
        if columns.get("history"):
            raise DataError(
                "earlier turns beside a list of messages; write them into prompt", place=place, field="history"
            )
        first, second = read_list(row, "prompt"), read_list(row, "completion")
        if not second:
            raise DataError("empty; it must hold the assistant's turn", place=place, field="completion")
        prompt_turns = chat_turns("prompt", first, place)
        messages = read_turns([*prompt_turns, *chat_turns("completion", second, place)], place)
        if messages[-1]["role"] != "assistant":
            last = f"completion[{len(second) - 1}].role"
            raise DataError("the last message must be the assistant's", place=place, field=last)
        for number, message in enumerate(messages[: len(prompt_turns)]):
            if message["role"] == "assistant":
                if message.get("weight", 0):
                    raise DataError(
                        "must be 0 or left out: only the completion is learned",
                        place=place,
                        field=f"{prompt_turns[number][0]}.weight",
                    )
                message["weight"] = 0
        return Conversation(messages, tools)

    @override
    def write(self, row: Row) -> dict[str, Any]:
        answer = row.require_answer()
        for number, message in enumerate(row.prompt):
            if message["role"] == "assistant" and message.get("weight", 1):
                raise DataError(
                    ErrorText(
                        "this earlier answer is learned, but TRL's prompt and completion learn the last one only. "
                        "Give it weight 0, or write ",
                        Argument("form", "messages"),
                        ".",
                    ),
                    place=row.place,
                    field=f"messages[{number}]",
                )
        if not answer.get("weight", 1):
            raise DataError(
                "the last answer has weight 0, but TRL's completion is always learned. Leave the row out.",
                place=row.place,
                field=f"messages[{len(row.prompt)}].weight",
            )
        prompt = [trl_message(row, number, message) for number, message in enumerate(row.prompt)]
        return with_tools(row, {"prompt": prompt, "completion": [trl_message(row, len(row.prompt), answer)]})
