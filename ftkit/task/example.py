"""Examples in a task's prompt: a question and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict

from ftkit.errors import OutputError
from ftkit.schema import FrozenModel, Output
from ftkit.task.message import Message

__all__ = ["Example", "read_examples"]


class Example(FrozenModel):
    """A question and the answer that a model should give.

    Attributes:
        input: text of the user message.
        output: text of the assistant message, which the task's output can parse.
    """

    model_config = ConfigDict(extra="forbid")

    input: str
    output: str

    def messages(self) -> list[Message]:
        """Write the example as turns of a conversation.

        Returns:
            A user message and an assistant message.
        """
        return [Message(role="user", content=self.input), Message(role="assistant", content=self.output)]


def read_examples(given: Any, output: Output) -> list[dict[str, Any]]:
    """Read a task's examples and write their answers in canonical form.

    Args:
        given: a sequence of :class:`Example`, of pairs of question and answer, or of mappings with ``input`` and
            ``output``. An answer is a plain value, or for JSON its text.
        output: the task's output.

    Returns:
        The examples as mappings.

    Raises:
        ValueError: an example has another form, or the output does not allow its answer; names the example.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise ValueError('must be a list of pairs: [("What the user writes", "the answer")]')
    examples = []
    for index, example in enumerate(given):
        fields = example.model_dump() if isinstance(example, Example) else example
        if isinstance(fields, Mapping):
            if set(fields) != {"input", "output"}:
                raise ValueError(f"[{index}]: must have input and output, and nothing else; it has {sorted(fields)}")
            question, answer = fields["input"], fields["output"]
        elif isinstance(fields, list | tuple) and len(fields) == 2:
            question, answer = fields
        else:
            raise ValueError(f"[{index}]: must be a pair of question and answer, or have input and output")
        if not isinstance(question, str):
            raise ValueError(f"[{index}]: the question must be the text of a user message, not {question!r:.40}")
        try:
            # A text that can be parsed is the answer itself, as in a task that was loaded from a file.
            written = isinstance(answer, str) and not output.problems(answer)
            examples.append({"input": question, "output": output.format(output.parse(answer) if written else answer)})
        except OutputError as error:
            raise ValueError(f"[{index}]: the answer is none of this task: {error}") from None
    return examples
