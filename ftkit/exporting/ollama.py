"""The prompt as Ollama will write it, proved against the chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ftkit.errors import ExportError
from ftkit.exporting.go_expansion import expand
from ftkit.exporting.go_template import GoTemplate, Render, derive

if TYPE_CHECKING:
    from ftkit.inference.replay import Conversation
    from ftkit.modeling.chat_template import ChatTemplate

__all__ = ["bos_added", "context_for", "go_template", "prove"]

_ROLES = ("system", "user", "assistant")
_AROUND = 40


def go_template(chat_template: ChatTemplate) -> GoTemplate:
    """The Go template of the renderer's chat template.

    Raises:
        ExportError: it cannot be said in Go.
    """
    if "strftime_now" in str(chat_template.tokenizer.chat_template):
        raise ExportError("the chat template writes the date, in a form that a Go template cannot; export merged")
    return derive(render_of(chat_template), bos=bos_added(chat_template.tokenizer))


def render_of(chat_template: ChatTemplate) -> Render:
    """The chat template as a function of a conversation."""
    return lambda messages, answer_next: chat_template.render(messages, answer_next=answer_next)


def bos_added(tokenizer: Any) -> str:
    """The beginning-of-sequence token that the tokenizer, and so a server, puts before each text; else ""."""
    with_it, without = (tokenizer("a", add_special_tokens=added)["input_ids"] for added in (True, False))
    added = list(with_it) != list(without) and with_it[0] == tokenizer.bos_token_id
    return str(tokenizer.bos_token) if added else ""


def prove(template: str, conversations: Sequence[Conversation], chat_template: ChatTemplate) -> None:
    """See that the Go template says of every conversation what the chat template says, character by character.

    Raises:
        ExportError: it does not; names the conversation and the first difference.
    """
    bos = bos_added(chat_template.tokenizer)
    for one in conversations:
        _check_sayable(one)
        wanted = chat_template.render(one.messages, answer_next=True).removeprefix(bos)
        said = expand(template, one.messages)
        if said != wanted:
            at = next((i for i, (a, b) in enumerate(zip(said, wanted, strict=False)) if a != b), None)
            at = min(len(said), len(wanted)) if at is None else at
            shown = slice(max(0, at - _AROUND), at + _AROUND)
            raise ExportError(
                f"{one.place}: the chat template cannot be said in Go; from character {at} of the prompt on it says "
                f"{wanted[shown]!r}, the Go template {said[shown]!r}; export merged"
            )


def _check_sayable(conversation: Conversation) -> None:
    problem = "tools" if conversation.tools else ""
    for number, message in enumerate(conversation.messages):
        if message.get("tool_calls") or message["role"] == "tool":
            problem = problem or f"tool calls (messages[{number}])"
        elif message["role"] not in _ROLES:
            problem = problem or f"the role {message['role']!r} (messages[{number}])"
        elif not isinstance(message.get("content"), str):
            problem = problem or f"content in parts (messages[{number}])"
    if problem:
        raise ExportError(f"{conversation.place}: has {problem}, which the Go template cannot say; export merged")


def context_for(longest: int, limit: int | None) -> int:
    """Tokens to set aside: a power of two with room for twice the longest replayed prompt and answer, at least 4,096.

    Args:
        longest: replayed prompt and answer, in tokens.
        limit: what the model takes.
    """
    room = 4096
    while room < 2 * longest:
        room *= 2
    return room if limit is None else min(room, limit)
