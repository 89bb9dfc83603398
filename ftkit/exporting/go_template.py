"""A chat template in Go's template language, found out by asking the Jinja template about probes.

What stands before a turn's content depends, in the templates that can be said so, on the role of the turn and on that
of the turn before it. Each such piece of text is read off conversations whose contents are marks. Ollama runs the Go
template with ``.Messages`` (``template/template.go`` in its repository), after joining neighbours of one role.
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
"""The Jinja template: a conversation, and whether the assistant is to answer next, into text."""

_START = _END = ""
_TURNS = ("user", "assistant", "user", "assistant", "user")
_MARK = "qzw{}wzq"


@dataclass(frozen=True, slots=True)
class GoTemplate:
    """The text before each turn, by the role before it and its own, and the text that asks for the answer.

    Attributes:
        before: ``before["system", "user"]`` is what stands between the contents of a system and a user turn; the role
            before the first turn is "".
        ask: what follows the last user turn, the beginning of the answer included.
        notes: what the Jinja template does and the Go template cannot.
    """

    before: dict[tuple[str, str], str]
    ask: str
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The template in Go's language."""
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
    """The Go template that says what ``render`` says of conversations of a system turn, if any, and turns of two.

    Args:
        bos: a beginning-of-sequence token that the server adds by itself, which the template must then leave out.

    Raises:
        ExportError: no Go template of this form says it; names the first difference.
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
                raise ExportError(f"the chat template refuses {_shape(roles)}: {error}") from error
            for key, piece in zip(zip((_START, *roles[:-1]), roles, strict=True), pieces, strict=False):
                if before.setdefault(key, piece) != piece:
                    raise ExportError(
                        f"the chat template cannot be said in Go: in {_shape(roles)} it writes {piece!r} before a "
                        f"{key[1]} turn, and {before[key]!r} in a shorter conversation"
                    )
            ask = pieces[-1] if ask is None else ask
            if pieces[-1] != ask:
                raise ExportError(
                    f"the chat template cannot be said in Go: after {_shape(roles)} it asks for the answer with "
                    f"{pieces[-1]!r}, and with {ask!r} in a shorter conversation"
                )
    return _checked(before, ask, (), render)


def _checked(before: dict[tuple[str, str], str], ask: str | None, notes: tuple[str, ...], render: Render) -> GoTemplate:
    assert ask is not None  # noqa: S101  (every way here has asked once)
    probe = [Message(role="user", content="  qzw  ")]
    if "  qzw  " not in render(probe, True):
        notes += ("the chat template strips blanks around a turn, which Go cannot: send contents without them",)
    turns = [
        Message(role="user", content="a"),
        Message(role="assistant", content="<think>b</think>c"),
        Message(role="user", content="d"),
    ]
    if "<think>b</think>c" not in render(turns, True):
        notes += ("the chat template drops earlier reasoning (<think>), which Go cannot: send earlier answers without",)
    return GoTemplate(before, ask, notes)


def _pieces(render: Render, roles: Sequence[str], bos: str) -> list[str]:
    """The text before the first mark, between the marks, and after the last."""
    marks = [_MARK.format(number) for number in range(len(roles))]
    text = render([Message(role=role, content=mark) for role, mark in zip(roles, marks, strict=True)], True)
    if bos:
        if not text.startswith(bos):
            raise ExportError(
                f"the tokenizer begins each text with {bos!r} and the chat template does not; a server would add it"
            )
        text = text.removeprefix(bos)
    found = re.findall("|".join(map(re.escape, marks)), text)
    if found != marks:
        raise ExportError(
            f"the chat template cannot be said in Go: of {_shape(roles)} it writes the turns "
            f"{', '.join(str(marks.index(one) + 1) for one in found) or 'none'} in this order, not each once"
        )
    return re.split("|".join(map(re.escape, marks)), text)


def _shape(roles: Sequence[str]) -> str:
    return "a conversation of " + ", ".join(roles)


def _literal(text: str) -> str:
    """``text`` as it stands in a Go template, or as a quoted Go string where it would not survive there.

    Ollama's reader of Modelfiles ends a text at three quotes and drops what cannot be printed; braces begin an action.
    """
    printable = all(char.isprintable() or char == "\n" for char in text)
    if printable and not any(odd in text for odd in ("{{", "}}", '""')) and not text.endswith(('"', "{")):
        return text
    return '{{ "' + "".join(map(_escaped, text)) + '" }}'


def _escaped(char: str) -> str:
    if char.isprintable() and char not in '"\\':
        return char
    if ord(char) > 0xFFFF:  # Go has no pairs of surrogates, JSON nothing else
        raise ExportError(f"the chat template writes the character U+{ord(char):X}, which a Modelfile cannot hold")
    return json.dumps(char)[1:-1]
