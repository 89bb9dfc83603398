"""Translate a chat template from Jinja to Go by rendering probe conversations.

In the templates that can be translated, the text before a message depends only on its role and on the role of the
previous message. Each of these texts is read from a rendered conversation whose contents are markers. Ollama runs the
Go template with ``.Messages`` (``template/template.go`` in its repository), after joining neighbouring messages of one
role.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftkit.errors import ExportError, ModelError
from ftkit.task import Message

__all__ = ["GoTemplate", "Render", "derive"]

Render = Callable[[Sequence[Message], bool], str]
"""Renders a conversation with the Jinja template. The flag adds the generation prompt."""

_START = _END = ""
_TURNS = ("user", "assistant", "user", "assistant", "user")
_MARKER = "qzw{}wzq"


@dataclass(frozen=True, slots=True)
class GoTemplate:
    """The text before each message and the generation prompt.

    Attributes:
        before: text before a message by the previous role and its own: ``before["system", "user"]`` is the text between
            the contents of a system and a user message. The role before the first message is "".
        ask: the text after the last user message, including the generation prompt.
        notes: features of the Jinja template that the Go template lacks.
    """

    before: dict[tuple[str, str], str]
    ask: str
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The template in Go's syntax."""
        first, system = _literal(self.before[_START, "user"]), self.before.get((_START, "system"))
        after_system = self.before.get(("system", "user"))
        after_answer, answer = self.before["assistant", "user"], self.before["user", "assistant"]
        parts = ['{{ $last := "" }}{{ range .Messages }}']
        if system is not None and after_system is not None:
            parts += ['{{ if eq .Role "system" }}', _literal(system), '{{ else if eq .Role "user" }}']
            parts += ['{{ if eq $last "system" }}', _literal(after_system), '{{ else if eq $last "assistant" }}']
        else:
            parts += ['{{ if eq .Role "user" }}{{ if eq $last "assistant" }}']
        parts += [_literal(after_answer), "{{ else }}", first, "{{ end }}{{ else }}", _literal(answer), "{{ end }}"]
        return "".join([*parts, "{{ .Content }}{{ $last = .Role }}{{ end }}", _literal(self.ask)])


def derive(render: Render, *, bos: str = "") -> GoTemplate:
    """Derive the Go template that renders as ``render`` does.

    Conversations may have a system message, followed by user and assistant messages in turn.

    Args:
        render: the Jinja template.
        bos: the BOS token, if the server adds it by itself, so that the template must leave it out.

    Returns:
        The Go template.

    Raises:
        ExportError: no Go template of this form renders the same; the message names the first difference.
    """
    before: dict[tuple[str, str], str] = {}
    ask: str | None = None
    for system in (False, True):
        for length in range(1, len(_TURNS) + 1, 2):
            roles = ("system",) * system + _TURNS[:length]
            try:
                pieces = _pieces(render, roles, bos)
            except ModelError as error:
                if system and length == 1:
                    return _checked(before, ask, (f"the chat template takes no system message ({error})",), render)
                raise ExportError(f"the chat template raises an error for {_shape(roles)}: {error}") from error
            for key, piece in zip(zip((_START, *roles[:-1]), roles, strict=True), pieces, strict=False):
                if before.setdefault(key, piece) != piece:
                    raise ExportError(
                        f"the chat template cannot be translated to Go: in {_shape(roles)} it writes {piece!r} before "
                        f"a {key[1]} message, and {before[key]!r} in a shorter conversation"
                    )
            ask = pieces[-1] if ask is None else ask
            if pieces[-1] != ask:
                raise ExportError(
                    f"the chat template cannot be translated to Go: after {_shape(roles)} its generation prompt is "
                    f"{pieces[-1]!r}, and {ask!r} in a shorter conversation"
                )
    return _checked(before, ask, (), render)


def _checked(before: dict[tuple[str, str], str], ask: str | None, notes: tuple[str, ...], render: Render) -> GoTemplate:
    assert ask is not None  # noqa: S101  (set by the first probe)
    probe = [Message(role="user", content="  qzw  ")]
    if "  qzw  " not in render(probe, True):
        notes += (
            "the chat template strips whitespace around contents, and the Go template cannot: send stripped contents",
        )
    turns = [
        Message(role="user", content="a"),
        Message(role="assistant", content="<think>b</think>c"),
        Message(role="user", content="d"),
    ]
    if "<think>b</think>c" not in render(turns, True):
        notes += (
            "the chat template drops earlier reasoning (<think>), and the Go template cannot: send earlier answers "
            "without it",
        )
    return GoTemplate(before, ask, notes)


def _pieces(render: Render, roles: Sequence[str], bos: str) -> list[str]:
    """Return the text before the first marker, between the markers, and after the last."""
    markers = [_MARKER.format(number) for number in range(len(roles))]
    text = render([Message(role=role, content=mark) for role, mark in zip(roles, markers, strict=True)], True)
    if bos:
        if not text.startswith(bos):
            raise ExportError(
                f"the tokenizer adds {bos!r} to each text and the chat template does not; a server would add it"
            )
        text = text.removeprefix(bos)
    found = re.findall("|".join(map(re.escape, markers)), text)
    if found != markers:
        raise ExportError(
            f"the chat template cannot be translated to Go: for {_shape(roles)} it writes the messages "
            f"{', '.join(str(markers.index(one) + 1) for one in found) or 'none'} in this order, not each once"
        )
    return re.split("|".join(map(re.escape, markers)), text)


def _shape(roles: Sequence[str]) -> str:
    return "a conversation of " + ", ".join(roles)


def _literal(text: str) -> str:
    """Write ``text`` in a Go template, as a quoted Go string where plain text would be changed."""
    # Ollama's Modelfile parser ends a text at three quotes and drops unprintable characters; braces begin an action.
    printable = all(char.isprintable() or char == "\n" for char in text)
    if printable and not any(odd in text for odd in ("{{", "}}", '""')) and not text.endswith(('"', "{")):
        return text
    return '{{ "' + "".join(map(_escaped, text)) + '" }}'


def _escaped(char: str) -> str:
    if char.isprintable() and char not in '"\\':
        return char
    if ord(char) > 0xFFFF:  # JSON writes surrogate pairs, which Go does not have
        raise ExportError(f"the chat template writes the character U+{ord(char):X}, which a Modelfile cannot contain")
    return json.dumps(char)[1:-1]
