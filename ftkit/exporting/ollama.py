"""Check that Ollama renders the same prompts as the chat template."""

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
    """Translate a chat template to Go.

    Args:
        chat_template: the model's chat template.

    Returns:
        The Go template.

    Raises:
        ExportError: the chat template cannot be translated.
    """
    if "strftime_now" in str(chat_template.tokenizer.chat_template):
        raise ExportError("the chat template writes the current date, which a Go template cannot; use the merged form")
    return derive(render_of(chat_template), bos=bos_added(chat_template.tokenizer))


def render_of(chat_template: ChatTemplate) -> Render:
    """Return the chat template as a function that renders a conversation.

    Args:
        chat_template: the model's chat template.

    Returns:
        The function.
    """
    return lambda messages, answer_next: chat_template.render(messages, add_generation_prompt=answer_next)


def bos_added(tokenizer: Any) -> str:
    """Find the BOS token that the tokenizer, and so a server, adds to each text.

    Args:
        tokenizer: the model's tokenizer.

    Returns:
        The token, or "" if none is added.
    """
    with_it, without = (tokenizer("a", add_special_tokens=added)["input_ids"] for added in (True, False))
    added = list(with_it) != list(without) and with_it[0] == tokenizer.bos_token_id
    return str(tokenizer.bos_token) if added else ""


def prove(template: str, conversations: Sequence[Conversation], chat_template: ChatTemplate) -> None:
    """Check that the Go template renders every conversation exactly as the chat template does.

    Args:
        template: the Go template.
        conversations: the conversations to compare.
        chat_template: the model's chat template.

    Raises:
        ExportError: a prompt differs; the message names the conversation and the first difference.
    """
    bos = bos_added(chat_template.tokenizer)
    for conversation in conversations:
        _check_translatable(conversation)
        expected = chat_template.render(conversation.messages, add_generation_prompt=True).removeprefix(bos)
        rendered = expand(template, conversation.messages)
        if rendered != expected:
            at = next((i for i, (a, b) in enumerate(zip(rendered, expected, strict=False)) if a != b), None)
            at = min(len(rendered), len(expected)) if at is None else at
            shown = slice(max(0, at - _AROUND), at + _AROUND)
            raise ExportError(
                f"{conversation.place}: the chat template cannot be translated to Go; from character {at} of the "
                f"prompt it writes {expected[shown]!r}, the Go template {rendered[shown]!r}; use the merged form"
            )


def _check_translatable(conversation: Conversation) -> None:
    problem = "tools" if conversation.tools else ""
    for number, message in enumerate(conversation.messages):
        if message.get("tool_calls") or message["role"] == "tool":
            problem = problem or f"tool calls (messages[{number}])"
        elif message["role"] not in _ROLES:
            problem = problem or f"the role {message['role']!r} (messages[{number}])"
        elif not isinstance(message.get("content"), str):
            problem = problem or f"content in parts (messages[{number}])"
    if problem:
        raise ExportError(f"{conversation.place}: {problem} are not supported by the Go template; use the merged form")


def context_for(longest: int, limit: int | None) -> int:
    """Choose a context length: a power of two, at least 4,096 and twice the longest replayed prompt and answer.

    Args:
        longest: longest replayed prompt and answer, in tokens.
        limit: the model's own context length in tokens, or None.

    Returns:
        The context length in tokens.
    """
    room = 4096
    while room < 2 * longest:
        room *= 2
    return room if limit is None else min(room, limit)
