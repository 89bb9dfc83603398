"""How a chat template begins and ends turns, found by rendering short conversations."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ftkit.errors import ModelError
from ftkit.modeling.control_tokens import ControlTokens
from ftkit.modeling.rendered_parts import THOUGHT_TAGS
from ftkit.task import Message

__all__ = ["OpenEnd", "TurnEnds", "common_length", "find_turn_ends"]

RenderMessages = Callable[[Sequence[Message], Sequence[dict[str, Any]] | None, bool], str]

_ANSWER, _NEXT = "answer5d1", "next8c2"
_TOOL = {"type": "function", "function": {"name": "find", "description": "Find.", "parameters": {"type": "object"}}}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": f'{{"place": "{_ANSWER}"}}'}}
_TAGS = frozenset([*THOUGHT_TAGS, *THOUGHT_TAGS.values()])


@dataclass(frozen=True, slots=True)
class OpenEnd:
    """The end of a turn in a template without an end token: the marker of the next role.

    Attributes:
        tail: what the template writes after the last turn.
        marker: what it writes there instead if another turn follows, up to ``token`` inclusive.
        token: the control token with which the next turn begins.
    """

    tail: str
    marker: str
    token: str


@dataclass(frozen=True, slots=True)
class TurnEnds:
    """How turns end.

    Attributes:
        known: tokens that end an answer in any case, as they are written.
        after_text: the token that ends a turn of text, or how it ends without one; None if that is not known.
        after_call: the same for turns with tool calls.
        structure: tokens that the template writes around turns.
    """

    known: frozenset[str] = frozenset()
    after_text: str | OpenEnd | None = None
    after_call: str | OpenEnd | None = None
    structure: frozenset[str] = frozenset()

    @property
    def stops(self) -> frozenset[str]:
        """All tokens at which an answer ends."""
        ends = [end for end in (self.after_text, self.after_call) if end is not None]
        return self.known | {end if isinstance(end, str) else end.token for end in ends}

    def end_of(self, turn: str, *, calls: bool) -> int:
        """Find the end of an assistant's turn.

        Args:
            turn: the text from where the generation prompt ends.
            calls: whether the turn calls tools.

        Returns:
            The index behind the token that ends it; 0 if there is none.
        """
        usual = self.after_call if calls else self.after_text
        if isinstance(usual, str) and usual in turn:
            return turn.rfind(usual) + len(usual)
        others = self.known | {end for end in (self.after_text, self.after_call) if isinstance(end, str)}
        return max((turn.rfind(token) + len(token) for token in others if token in turn), default=0)


def find_turn_ends(render: RenderMessages, control: ControlTokens, stops: Collection[str]) -> TurnEnds:
    """Find out how a chat template begins and ends turns.

    Args:
        render: renders messages and tools; the flag adds the generation prompt.
        control: the tokenizer's control tokens.
        stops: tokens that end an answer in any case, as they are written.

    Returns:
        What was found; it lacks what the template refuses to render.
    """
    tokens = _Tokens(control, stops)
    user: Message = {"role": "user", "content": "a"}
    answer: Message = {"role": "assistant", "content": _ANSWER}
    call: Message = {"role": "assistant", "content": None, "tool_calls": [_CALL]}
    result: Message = {"role": "tool", "tool_call_id": "call_1", "name": "find", "content": _NEXT}
    text_end = _end(render, tokens, [user, answer], {"role": "user", "content": _NEXT}, None)
    if isinstance(text_end, str):
        tokens = _Tokens(control, {*stops, text_end})
    call_end = _end(render, tokens, [user, call], result, [_TOOL])
    found = TurnEnds(frozenset(stops), text_end, call_end)
    return replace(found, structure=frozenset(_structure(render, tokens) | found.stops) - _TAGS)


class _Tokens:
    """Finds control tokens in rendered texts."""

    def __init__(self, control: ControlTokens, stops: Collection[str]) -> None:
        self._special = control.special | set(stops)
        longest_first = sorted({*control.added, *stops}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def matches(self, text: str) -> list[re.Match[str]]:
        """The added tokens that are no blanks; only the special ones if there are any."""
        found = [match for match in self._pattern.finditer(text) if match[0].strip() and match[0] not in _TAGS]
        return self.special(text) or found

    def special(self, text: str) -> list[re.Match[str]]:
        """The special tokens, and those that end turns."""
        return [match for match in self._pattern.finditer(text) if match[0] in self._special and match[0] not in _TAGS]


def _end(
    render: RenderMessages,
    tokens: _Tokens,
    messages: list[Message],
    following: Message,
    tools: list[dict[str, Any]] | None,
) -> str | OpenEnd | None:
    """The token at the end of the last message, or how it ends without one; None if the template renders it not."""
    try:
        _, found, tail = render(messages, tools, False).rpartition(_ANSWER)
    except ModelError:
        return None
    if not found:
        return None
    try:
        between = render([*messages, following], tools, False).rpartition(_ANSWER)[2].partition(_NEXT)[0]
    except ModelError:
        between = ""
    # A token that is not special can end a turn of text; after a tool call, it rather ends the call.
    find = tokens.matches if tools is None else tokens.special
    common = common_length(tail, between)
    common = next((one.start() for one in tokens.matches(tail) if one.start() < common < one.end()), common)
    ends: list[re.Match[str]] = []
    for part in (tail[:common], tail):  # a template can end the last turn otherwise
        ends = find(part)
        if ends and not part[ends[-1].end() :].strip():
            return ends[-1][0]
    begins = [match for match in tokens.matches(between) if match.start() >= len(tail.rstrip())]
    if begins:
        return OpenEnd(tail, between[: begins[0].end()], begins[0][0])
    return ends[-1][0] if ends else None


def common_length(first: str, second: str) -> int:
    """Count the characters with which both texts begin.

    Args:
        first: a text.
        second: another text.

    Returns:
        Their number.
    """
    pairs = zip(first, second, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _structure(render: RenderMessages, tokens: _Tokens) -> set[str]:
    user: Message = {"role": "user", "content": "a"}
    found: set[str] = set()
    for messages in ([{"role": "system", "content": "b"}, user], [user]):
        conversation: list[Any] = messages
        try:
            asked, prompt = render(conversation, None, False), render(conversation, None, True)
        except ModelError:
            continue
        found |= {match[0] for match in tokens.matches(asked)}
        begun = tokens.matches(prompt[len(asked) :] if prompt.startswith(asked) else prompt)
        found |= {match[0] for match in begun[:1]}
        break
    return found
