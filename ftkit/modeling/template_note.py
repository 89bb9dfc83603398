"""Notes on what a chat template does with a conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.modeling.left_out import changed_text
from ftkit.modeling.rendered_parts import Part

__all__ = ["TemplateNote", "changed_texts", "stripped_blanks"]


@dataclass(frozen=True, slots=True)
class TemplateNote:
    """What a chat template does with a part of a conversation that its author may not expect.

    Attributes:
        field: the part, e.g. ``messages[0].role``.
        kind: ``control_token``: it contains the text of a control token; ``role``: its role is rendered as another
            one; ``left_out``: it is left out of this turn's prompt; ``open_thought``: the answer does not close the
            thought that the generation prompt opens; ``blanks``: the whitespace around it is stripped; ``changed``: it
            is rendered as another text.
        message: a sentence.
    """

    field: str
    kind: str
    message: str


def changed_texts(parts: Iterable[Part]) -> Iterator[TemplateNote]:
    """Note the texts that a template changes.

    Args:
        parts: the parts of the rendered conversation.

    Yields:
        The notes.
    """
    for part in parts:
        if part.rendered_as is not None:
            yield TemplateNote(part.field, "changed", changed_text(part))


def stripped_blanks(
    messages: Sequence[dict[str, Any]], learned: Sequence[int], render: Callable[[Sequence[dict[str, Any]]], str]
) -> Iterator[TemplateNote]:
    """Note the texts around which a template strips the blanks: the model does not read them as they are written.

    Args:
        messages: the conversation in the template's form.
        learned: indices of the turns that are learned, which are learned with their blanks.
        render: renders messages.

    Yields:
        The notes.
    """
    plain = None
    for index, message in enumerate(messages):
        content = message.get("content")
        if index in learned or not isinstance(content, str) or not content.strip() or content == content.strip():
            continue
        plain = render(messages) if plain is None else plain
        sides = [("before", content.lstrip()), ("after", content.rstrip())]
        lost = [
            side
            for side, stripped in sides
            if stripped != content
            and render([*messages[:index], {**message, "content": stripped}, *messages[index + 1 :]]) == plain
        ]
        if lost:
            text = f"the template strips the whitespace {' and '.join(lost)} it"
            yield TemplateNote(f"messages[{index}].content", "blanks", text)
