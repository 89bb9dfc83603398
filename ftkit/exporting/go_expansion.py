"""Expand a Go template as Ollama does: the part of Go's ``text/template`` that ``go_template`` uses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ftkit.errors import ExportError
from ftkit.task import Message

__all__ = ["expand"]

_ACTION = re.compile(r'\{\{\s*((?:"(?:[^"\\]|\\.)*"|[^"}])*?)\s*\}\}')
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_EQUAL = re.compile(rf"eq (\.Role|\$\w+) ({_QUOTED})")
_SET = re.compile(rf"(\$\w+) (?::=|=) (\.Role|{_QUOTED})")


@dataclass(slots=True)
class _State:
    variables: dict[str, str] = field(default_factory=dict)
    message: Message | None = None

    def value(self, word: str) -> str:
        if word.startswith('"'):
            return str(json.loads(word))
        if word.startswith("$"):
            return self.variables[word]
        if self.message is None:
            raise ExportError(f"the Go template reads {word} outside a message")
        return str(self.message["role" if word == ".Role" else "content"])


@dataclass(slots=True)
class _Range:
    body: list[_Node]


@dataclass(slots=True)
class _If:
    cases: list[tuple[str, list[_Node]]]  # condition ("" is else) and the nodes that it guards


@dataclass(slots=True)
class _Action:
    text: str


_Node = str | _Action | _Range | _If


def expand(source: str, messages: Sequence[Message]) -> str:
    """Render a conversation with a Go template, joining neighbouring messages of one role as Ollama does.

    Args:
        source: the Go template.
        messages: the conversation.

    Returns:
        The prompt.

    Raises:
        ExportError: the template is invalid, or uses an unsupported action.
    """
    nodes, closing = _parse(_tokens(source))
    if closing:
        raise ExportError(f"the Go template has one {closing!r} too many")
    return "".join(_run(nodes, _State(), _joined(messages)))


def _joined(messages: Sequence[Message]) -> list[Message]:
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            joined[-1] = Message(role=message["role"], content=f"{joined[-1]['content']}\n\n{message['content']}")
        else:
            joined.append(Message(role=message["role"], content=message["content"]))
    return joined


def _tokens(source: str) -> Iterator[str | _Action]:
    done = 0
    for found in _ACTION.finditer(source):
        if found.start() > done:
            yield source[done : found.start()]
        yield _Action(found[1])
        done = found.end()
    if source[done:]:
        yield source[done:]


def _parse(tokens: Iterator[str | _Action]) -> tuple[list[_Node], str]:
    """Parse up to the closing ``else`` or ``end``; return the nodes and that action, or "" at the end of the text."""
    nodes: list[_Node] = []
    for token in tokens:
        if isinstance(token, str):
            nodes.append(token)
            continue
        text = token.text
        if text == "end" or text.split(" ")[0] == "else":
            return nodes, text
        if text == "range .Messages":
            body, closing = _parse(tokens)
            if closing != "end":
                raise ExportError("the Go template leaves a range open")
            nodes.append(_Range(body))
        elif text.startswith("if "):
            cases: list[tuple[str, list[_Node]]] = []
            condition = text.removeprefix("if ")
            while True:
                body, closing = _parse(tokens)
                cases.append((condition, body))
                if closing == "end":
                    break
                if closing == "":
                    raise ExportError("the Go template leaves an if open")
                condition = closing.removeprefix("else").strip().removeprefix("if ").strip()
            nodes.append(_If(cases))
        else:
            nodes.append(token)
    return nodes, ""


def _run(nodes: Sequence[_Node], state: _State, messages: Sequence[Message]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, _Range):
            for message in messages:
                state.message = message
                yield from _run(node.body, state, ())
            state.message = None
        elif isinstance(node, _If):
            for condition, body in node.cases:
                if not condition or _holds(condition, state):
                    yield from _run(body, state, messages)
                    break
        elif assignment := _SET.fullmatch(node.text):
            state.variables[assignment[1]] = state.value(assignment[2])
        elif node.text == ".Content" or re.fullmatch(_QUOTED, node.text):
            yield state.value(node.text)
        else:
            raise ExportError(f"the Go template has an unsupported action: {node.text!r}")


def _holds(condition: str, state: _State) -> bool:
    found = _EQUAL.fullmatch(condition)
    if found is None:
        raise ExportError(f"the Go template has an unsupported condition: {condition!r}")
    return state.value(found[1]) == state.value(found[2])
