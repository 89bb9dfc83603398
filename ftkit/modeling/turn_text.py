"""The text of an assistant's turn: what follows the generation prompt, up to the end of the turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.modeling.rendered_parts import REASONING, THOUGHT_TAGS, Part, split_thought
from ftkit.modeling.turn_end import OpenEnd, TurnEnds, common_length

__all__ = [
    "has_blanks",
    "lacks_thought",
    "opens_thought",
    "thought_before",
    "turn_as_written",
    "turn_text",
    "with_blanks",
    "with_end",
    "without_thought",
]

_LONGEST_PREFILL = 80
_LONGEST_TAG = 40


def opens_thought(prompt: str) -> str | None:
    """Return the tag with which a generation prompt opens a thought.

    Args:
        prompt: the rendered prompt.

    Returns:
        The tag at its end; None if there is none.
    """
    end = prompt.rstrip()
    return next((tag for tag in THOUGHT_TAGS if end.endswith(tag)), None)


def turn_text(asked: str, answered: str) -> str | None:
    """Cut the last turn out of a rendered conversation.

    The generation prompts of many reasoning models open a thought, or write an empty one, that the template does not
    write into the turn of an answer without a thought. The turn is then what follows the prompt as it is served.

    Args:
        asked: the conversation before the turn, with the generation prompt.
        answered: the conversation with the turn.

    Returns:
        The text of the turn; None if it does not follow the prompt.
    """
    if answered.startswith(asked):
        return answered[len(asked) :]
    common = _common(asked, answered)
    prefill, turn = asked[common:].strip(), answered[common:]
    if any(tag in prefill and tag in turn for tag in THOUGHT_TAGS.values()):
        return None  # the prompt has ended the thought that the turn begins with
    is_tag = prefill[:1] in ("<", "[") and prefill[-1:] in (">", "]") and len(prefill) <= _LONGEST_PREFILL
    return turn if not prefill or is_tag else None


def turn_as_written(asked: str, message: dict[str, Any], parts: Sequence[Part]) -> str | None:
    """Write a turn whose thought the template leaves out, as it is in the message, after the prompt as it is served.

    Args:
        asked: the conversation before the turn, with the generation prompt.
        message: the message, in the template's form.
        parts: the parts of this message in the rendered conversation.

    Returns:
        The text of the turn; None if it does not fit the prompt.
    """
    split = split_thought(_text(message))
    answer = next((part for part in parts if part.kind == "content"), None)
    if split is None or answer is None or answer.after is None or not answer.found:
        return None
    if message.get("tool_calls") or any(message.get(key) for key in REASONING):
        return None
    before, thought, rest = split
    tag, body = opens_thought(asked), (thought + rest).rstrip()
    after = _with_trailing((thought + rest)[len(body) :], answer.after)
    if before.strip() not in ("", tag) and tag is not None:
        return None
    if tag is None:
        closed = any(asked.rstrip().endswith(closing) for closing in THOUGHT_TAGS.values())
        return None if closed or not before.strip() else (before.lstrip() + body) + after
    blanks = asked[len(asked.rstrip()) :]
    return body.removeprefix(blanks) + after


def has_blanks(message: dict[str, Any]) -> bool:
    """Say whether there are blanks around a message's content, which templates may strip.

    Args:
        message: the message, in the template's form.

    Returns:
        Whether there are; False for turns that call tools, whose texts stand beside calls.
    """
    content = _text(message)
    return bool(content.strip()) and content != content.strip() and not message.get("tool_calls")


def lacks_thought(message: dict[str, Any], text: str) -> bool:
    """Say whether a turn lacks an empty thought that is written in the message's content.

    Args:
        message: the message, in the template's form.
        text: the text of the turn.

    Returns:
        Whether it does. A thought with a text is a part of the conversation that is looked for.
    """
    split = split_thought(_text(message))
    if split is None or split[1].strip() or message.get("tool_calls"):
        return False
    return not any(split[2].startswith(tag) and tag in text for tag in THOUGHT_TAGS.values())


def with_blanks(text: str, message: dict[str, Any], parts: Sequence[Part]) -> str:
    """Give a turn the blanks around its content that the template strips, e.g. the indentation of code.

    Args:
        text: the text of the turn.
        message: the message, in the template's form.
        parts: the parts of this message in the rendered conversation.

    Returns:
        The turn with the content as it is written.
    """
    content, part = _text(message), next((part for part in parts if part.kind == "content"), None)
    if part is None or not part.found or part.after is None or not text.endswith(part.text + part.after):
        return text
    if not content.strip().endswith(part.text):
        return text
    after = _with_trailing(content[len(content.rstrip()) :], part.after)
    before = text[: len(text) - len(part.after) - len(part.text)]
    if content.strip() != part.text:  # the content begins with a thought
        return before + part.text + after
    leading = content[: len(content) - len(content.lstrip())]
    kept = next(length for length in range(len(leading), -1, -1) if before.endswith(leading[len(leading) - length :]))
    return before[: len(before) - kept] + leading + part.text + after


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content if isinstance(content, str) else ""


def _with_trailing(blanks: str, after: str) -> str:
    """What follows a content, with the blanks at the content's end."""
    kept = next(length for length in range(len(blanks), -1, -1) if after.startswith(blanks[:length]))
    return blanks + after[kept:]


def with_end(text: str, ends: TurnEnds, message: dict[str, Any]) -> str | None:
    """End a turn where the model has to stop.

    Args:
        text: the text of the turn.
        ends: how the template ends turns.
        message: the message.

    Returns:
        The text up to its end token, or with the control token that begins the next turn; None if it has no end.
    """
    calls, content = bool(message.get("tool_calls")), message.get("content")
    end = ends.end_of(text, calls=calls)
    cut_off = isinstance(content, str) and len(content.strip()) > 1 and content.strip()[-20:] in text[end:]
    if end and not cut_off:
        return text[:end]
    open_end = ends.after_call if calls else ends.after_text
    if not isinstance(open_end, OpenEnd):
        return None
    if open_end.marker.startswith(open_end.tail):
        # The marker follows whatever ends the turn: a call without arguments ends otherwise than one with some.
        return text + open_end.marker[len(open_end.tail) :]
    if not text.endswith(open_end.tail):
        return None
    return text[: len(text) - len(open_end.tail)] + open_end.marker


def without_thought(text: str, prefill: str | None, *, keep: bool) -> str:
    """Cut the thought off an answer, so that it is the text that the model was trained to give.

    Args:
        text: the answer.
        prefill: the tag with which the generation prompt opens a thought, if it does.
        keep: keep a thought that the model itself began, unless it is empty.

    Returns:
        What follows the thought; the whole text if there is no thought or it has no end.
    """
    body = text.lstrip()
    for opening, closing in THOUGHT_TAGS.items():
        began = body.startswith(opening)
        if not began and prefill != opening:
            continue
        thought, end, answer = body.removeprefix(opening).partition(closing)
        if end and not (began and keep and thought.strip()):
            return answer.lstrip()
    return text


def thought_before(text: str, answer: str) -> str | None:
    """Return the thought that was cut off an answer by :func:`without_thought`.

    Args:
        text: the whole answer.
        answer: what follows the thought.

    Returns:
        The thought without its tags; None if nothing was cut off, or an empty thought.
    """
    thought = text[: len(text) - len(answer)].strip()
    for opening, closing in THOUGHT_TAGS.items():
        if thought.endswith(closing):
            return thought.removesuffix(closing).removeprefix(opening).strip() or None
    return None


def _common(asked: str, answered: str) -> int:
    """Length of the common prefix, which does not end inside a tag of the prompt."""
    common = common_length(asked, answered)
    for opening, closing in ("<>", "[]"):
        begin = asked.rfind(opening, max(0, common - _LONGEST_TAG), common)
        end = asked.find(closing, begin, begin + _LONGEST_TAG) if begin >= 0 else -1
        if end >= common and not any(char.isspace() for char in asked[begin:end]):
            return begin
    return common
