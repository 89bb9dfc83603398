"""One row of a dataset, as training and evaluation see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftkit.errors import Place
from ftkit.task import Message

__all__ = ["Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """A question to a model and, where the data has one, the wanted answer."""

    id: str
    """The value of the ``id`` column when there is one, else 16 hex digits over the row's content."""
    place: Place
    """File and line."""
    columns: Mapping[str, Any]
    """The row as it was read, under the file's own column names."""
    prompt: list[Message]
    """What the model is asked: everything before the final assistant turn."""
    target: Any | None
    """The wanted answer as a plain value: a dict for JSON outputs, a str for text and choices; None when absent."""
    completion: Message | None
    """The wanted assistant turn; it may hold ``tool_calls`` and a ``weight``. None when the row has no answer."""
    tools: list[dict[str, Any]] | None
    """The functions the model may call, in OpenAI's form."""
    group: str | None
    """What must not be torn apart by a split (a patient, a document), from the ``group`` column."""

    @property
    def messages(self) -> list[Message]:
        """Prompt and completion: what training sees. Earlier assistant turns keep their ``weight``."""
        return self.prompt if self.completion is None else [*self.prompt, self.completion]
