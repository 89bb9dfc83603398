"""What to do with rows of no known format, by the columns that they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftkit.error_text import Argument

__all__ = ["columns_hint"]

_QUESTIONS = ("prompt", "question", "query", "instruction", "input", "problem")
_ANSWERS = ("completion", "response", "answer", "output", "solution", "target")


def columns_hint(columns: Mapping[str, Any]) -> list[str]:
    """Say how the columns of a row can be read.

    Args:
        columns: the columns.

    Returns:
        Parts of an :class:`~ftkit.error_text.ErrorText`: one sentence with a space after it, or nothing.
    """
    if {"role", "content"} <= columns.keys() or {"from", "value"} <= columns.keys():
        return ['Each row is one message; a row must be a whole conversation: {"messages": [...]}. ']
    conversation = next((name for name, value in columns.items() if _is_conversation(value)), None)
    if conversation is not None:
        return [f"{conversation:.60} holds messages: name it with ", _columns(messages=conversation), ". "]
    question = next((name for name in _QUESTIONS if isinstance(columns.get(name), str)), None)
    answer = next((name for name in _ANSWERS if isinstance(columns.get(name), str) and name != question), None)
    if question is not None and answer is not None:
        return [
            *("If ", question, " is the prompt and ", answer, " the answer to learn, name them with "),
            *(_columns(prompt=question, completion=answer), ". "),
        ]
    if question == "prompt":
        return ["If the rows are prompts without answers, say so with ", Argument("format", "trl_prompts"), ". "]
    return []


def _is_conversation(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, Mapping) and ({"role", "content"} <= first.keys() or {"from", "value"} <= first.keys())


def _columns(**names: str) -> Argument:
    shown = ", ".join(f'"{ours}": "{theirs}"' for ours, theirs in names.items() if ours != theirs)
    options = [f"{ours}={theirs}" for ours, theirs in names.items() if ours != theirs]
    return Argument("columns", " --column ".join(options), text=f"columns={{{shown}}}")
