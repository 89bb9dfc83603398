"""What every place that answers takes and gives back: requests, sampling options, answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ftkit.results.answer import Answer, Sampling
from ftkit.schema import Output
from ftkit.task import Message

__all__ = [
    "Answerer",
    "OnAnswer",
    "Request",
]


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to ask.

    Attributes:
        messages: the conversation so far.
        tools: the tools the model may call (OpenAI's ``tools`` form).
        output: what the answer must look like; places that can hold a model to it do, and none needs to.
    """

    messages: Sequence[Message]
    tools: Sequence[dict[str, Any]] | None = None
    output: Output | None = None


OnAnswer = Callable[[int, Answer], None]
"""Called as ``on_answer(index, answer)`` when the answer to ``requests[index]`` is there, in any order."""


class Answerer(Protocol):
    """A model that can be asked."""

    def answer_many(
        self, requests: Sequence[Request], sampling: Sampling, on_answer: OnAnswer | None = None
    ) -> list[Answer]:
        """Answer each request; the result has the order of ``requests``. May be called from several threads."""
        ...

    def about(self) -> dict[str, Any]:
        """What answers, for the record: versions, device, precision, template hash. Plain JSON values, no secrets.

        What shows only while it answers stands under ``"observed"`` and may grow; all else stays as it is.
        """
        ...
