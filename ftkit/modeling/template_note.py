"""Notes on what a chat template does with a conversation."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TemplateNote"]


@dataclass(frozen=True, slots=True)
class TemplateNote:
    """What a chat template does with a part of a conversation that its author may not expect.

    Attributes:
        field: the part, e.g. ``messages[0].role``.
        kind: ``control_token``: it contains the text of a control token; ``role``: its role is rendered as another
            one; ``left_out``: it is left out of this turn's prompt; ``open_thought``: the answer does not close the
            thought that the generation prompt opens.
        message: a sentence.
    """

    field: str
    kind: str
    message: str
