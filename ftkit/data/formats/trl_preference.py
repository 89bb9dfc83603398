"""``prompt``, ``chosen``, ``rejected``: TRL's form of preferences, as texts or as messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_list, read_margin
from ftkit.data.formats.content import text_content
from ftkit.data.formats.preference_pair import Part, read_answer, read_pair
from ftkit.data.formats.sharegpt_turn import turn_role
from ftkit.data.formats.tools import read_tools
from ftkit.data.formats.trl import trl_message, with_tools
from ftkit.data.row import Row
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["TRLPreference"]

_QUESTIONS = ("context", "instruction", "question", "query", "input")
"""Names that columns of the prompt have in public files, in the order in which a prompt holds them."""


class TRLPreference(Format):
    """A text is one turn.

    Without ``prompt``, ``chosen`` and ``rejected`` are whole conversations that differ in their last turns. They may
    also be whole conversations beside a text, which is then one of their user turns.

    Source: https://huggingface.co/docs/trl/dataset_formats.
    """

    name = "trl_preference"
    required = "chosen and rejected"
    answer_field = "chosen"
    rejected_field = "rejected"
    columns = ("prompt", "chosen", "rejected", "margin", "tools")

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return "chosen" in columns and "rejected" in columns and "conversations" not in columns

    @override
    def read(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        value = columns.get("prompt")
        chosen, rejected = _answer(row, "chosen"), _answer(row, "rejected")
        if isinstance(value, str) and _is_conversation(chosen) and _is_conversation(rejected):
            messages, worse = read_pair(row, ("prompt", []), chosen, rejected)
            _check_prompt(value, messages, row)
        else:
            messages, worse = read_pair(row, ("prompt", _prompt(row)), chosen, rejected)
        return Conversation(
            messages,
            read_tools(columns.get("tools"), place, "tools", nulls_are_absent=row.nulls_are_absent),
            rejected=worse,
            margin=read_margin(columns.get("margin"), place, "margin"),
        )

    @override
    def write(self, row: Row) -> dict[str, Any]:
        at = len(row.prompt)
        line: dict[str, Any] = {
            "prompt": [trl_message(row, number, message) for number, message in enumerate(row.prompt)],
            "chosen": [trl_message(row, at, row.require_answer())],
            "rejected": [trl_message(row, at, row.rejected_messages[-1])],
        }
        if row.margin is not None:
            line["margin"] = row.margin
        return with_tools(row, line)


def _prompt(row: RawRow) -> list[Any]:
    value = row.columns.get("prompt")
    if value is None:
        return []
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise DataError(_wrong_type(value), place=row.place, field="prompt")
    if not value:
        raise DataError("empty; it must hold what is asked", place=row.place, field="prompt")
    return read_list(row, "prompt")


def _answer(row: RawRow, column: str) -> Part:
    value = row.columns.get(column)
    if value is None:
        raise DataError("missing", place=row.place, field=column)
    if isinstance(value, list | Mapping):
        return read_answer(row, column)
    if not isinstance(value, str):
        raise DataError(_wrong_type(value), place=row.place, field=column)
    if row.columns.get("prompt") is None:
        raise DataError(
            ErrorText(
                "a text, and there is no prompt, so the beginning of the answer is unknown. ",
                *_prompt_hint(row),
                ", or write lists of messages",
            ),
            place=row.place,
            field=column,
        )
    if not value.strip():
        raise DataError("an empty assistant turn", place=row.place, field=column, problem="empty_answer")
    return column, [{"role": "assistant", "content": value}]


def _prompt_hint(row: RawRow) -> list[str]:
    """How to name the prompt, by the row's other texts."""
    texts = [name for name, value in row.columns.items() if isinstance(value, str) and value.strip()]
    named = [name for name in _QUESTIONS if name in texts]
    if len(named) > 1:
        template = "\\n\\n".join(f"{{{name}}}" for name in named)
        return [
            f'Let a task make the prompt: Task(input="{template}"), with ',
            *(Argument("chosen", "chosen"), " and ", Argument("rejected", "rejected")),
        ]
    others = [name for name in texts if name not in ("chosen", "rejected", "id")]
    name = next(iter([*named, *others]), "question")
    example = Argument("columns", f"prompt={name}", text=f'columns={{"prompt": "{name}"}}')
    return ["Name the column of the prompt with ", example]


def _is_conversation(part: Part) -> bool:
    """Whether the list is a whole conversation, which begins before the assistant's first turn."""
    return bool(part[1]) and turn_role(part[1][0]) in ("system", "developer", "user")


def _check_prompt(text: str, messages: list[Message], row: RawRow) -> None:
    if text not in [text_content(message) for message in messages if message["role"] == "user"]:
        raise DataError(
            "no user turn of the conversations in chosen and rejected, which begin with a user's turn of their own",
            place=row.place,
            field="prompt",
        )


def _wrong_type(value: Any) -> str:
    return f"must be a text or a list of messages, this is a {type(value).__name__}"
