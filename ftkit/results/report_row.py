"""Rows of a report: prompt, target, answer and scores."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.data import Row
from ftkit.errors import OutputError
from ftkit.files import canonical_digest
from ftkit.results.answer import Answer, FinishReason
from ftkit.results.json_values import canonical, plain
from ftkit.schema import JsonOutput, Output
from ftkit.schema.json_text import read_json

__all__ = ["Problem", "RowResult", "folded_prompt", "prompt_digest"]


class Problem(BaseModel):
    """A violation of the output's schema in an answer."""

    model_config = ConfigDict(frozen=True)

    problem: Literal["not_json", "missing_field", "extra_field", "wrong_type", "invalid_value"]
    path: str
    """JSON path of the violation; ``$`` is the whole answer."""
    message: str


class RowResult(BaseModel):
    """A row and its answer. Metrics score it, and a report keeps it so that it can be rescored. All values are JSON."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    place: str
    """File and line, e.g. ``visits.jsonl:12``."""
    group: str | None
    """Group of dependent rows, for example a patient or a document. Intervals account for it."""
    prompt: tuple[dict[str, Any], ...]
    """The messages that were sent."""
    prompt_hash: str
    """Hash of messages and tools. Comparisons refuse rows with different hashes."""
    has_target: bool
    """Whether the row has a target. Metrics that need one leave other rows out."""
    target: Any
    target_tool_calls: tuple[dict[str, Any], ...] | None
    text: str
    """The model's answer, unchanged."""
    value: Any
    """The parsed answer: a JSON value (possibly invalid), a choice or a text; None if it is not readable."""
    readable: bool
    """Whether ``value`` holds the answer."""
    problems: tuple[Problem, ...]
    tool_calls: tuple[dict[str, Any], ...] | None
    finish_reason: FinishReason
    error: str | None
    """Error message, if ``finish_reason`` is ``"error"``."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    latency_s: float
    cost_usd: float | None
    logprob: float | None = None
    """Log-probability of the answer, if the backend returns it."""
    reasoning_content: str | None = None
    """What the model reasoned before it answered, if the backend returns it. Metrics do not read it."""
    reasoning_tokens: int = 0
    """How many of ``output_tokens`` were reasoning."""
    scores: dict[str, float | None] = {}
    """Score by metric; None if the metric leaves the row out. The mean, if there are several answers."""
    failures: dict[str, str] = {}
    """By metric: why a grader could not grade the answer, which then counts as 0."""
    item: dict[str, Any] = {}
    """Columns of the row that graders read."""
    others: tuple[RowResult, ...] = ()
    """Further answers to the same prompt with their own scores, if several were sampled."""

    @property
    def answers(self) -> tuple[RowResult, ...]:
        """All answers to this prompt; the first is the row itself."""
        return (self, *self.others)

    @property
    def valid(self) -> bool:
        """Whether the answer is parsed and has no problems."""
        return self.readable and not self.problems

    @classmethod
    def of(cls, row: Row, answer: Answer, output: Output, columns: Collection[str] | None = ()) -> RowResult:
        """Parse an answer and combine it with its row.

        Args:
            row: The row.
            answer: The model's answer.
            output: The task's output, which parses the answer.
            columns: Columns to keep as :attr:`item` for graders; None keeps all.

        Returns:
            The row without scores.
        """
        failed = answer.finish_reason == "error"
        text = "" if failed else plain(answer.text)
        errors = [] if failed else output.problems(text)
        value, readable = (None, False) if failed else _read(output, text, not errors)
        wanted = row.completion or {}
        return cls(
            id=row.id,
            place=str(row.place),
            group=row.group,
            prompt=tuple(plain(message) for message in row.prompt),
            prompt_hash=prompt_digest(row),
            has_target=row.completion is not None,
            target=plain(row.target),
            target_tool_calls=_calls(wanted.get("tool_calls")),
            text=text,
            value=plain(value),
            readable=readable,
            problems=tuple(Problem(problem=e.problem, path=plain(e.path), message=plain(e.message)) for e in errors),
            tool_calls=_calls(answer.tool_calls),
            finish_reason=answer.finish_reason,
            error=plain(answer.error),
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            cached_tokens=answer.cached_tokens,
            latency_s=answer.latency_s,
            cost_usd=answer.cost_usd,
            logprob=answer.logprob,
            reasoning_content=plain(answer.reasoning_content),
            reasoning_tokens=answer.reasoning_tokens,
            item={name: plain(value) for name, value in row.item.items() if columns is None or name in columns},
        )


def folded_prompt(row: RowResult) -> str:
    """Write what a row asks without what rarely matters: case, width of characters, repeated and outer spaces.

    Rows that ask the same in this sense are no independent evidence. Punctuation is kept: ``3 * 4`` is not ``3 / 4``.

    Args:
        row: The row.

    Returns:
        The folded text of all messages; the prompt's hash if the report was saved without prompts.
    """
    if not row.prompt:
        return row.prompt_hash
    said = (text for message in row.prompt for text in (message["role"], *_texts(message.get("content"))))
    return "\n".join(" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in said)


def _texts(content: Any) -> Iterator[str]:
    """A message's text, or the texts and addresses of its parts."""
    if isinstance(content, str):
        yield content
    elif content is not None:
        yield json.dumps(content, ensure_ascii=False, sort_keys=True)


def prompt_digest(row: Row) -> str:
    """Hash the messages and tools of a row.

    Args:
        row: The row.

    Returns:
        ``sha256:…``.
    """
    return canonical_digest(canonical(plain([row.prompt, row.tools])))


def _read(output: Output, text: str, valid: bool) -> tuple[Any, bool]:
    """Parse an answer; JSON that violates the schema is kept, because fields are compared one by one."""
    if valid:
        return output.parse(text), True
    if isinstance(output, JsonOutput):
        try:
            return read_json(text), True
        except OutputError:  # is among the row's problems
            return None, False
    return None, False


def _calls(calls: Any) -> tuple[dict[str, Any], ...] | None:
    return tuple(plain(call) for call in calls if isinstance(call, Mapping)) if calls else None
