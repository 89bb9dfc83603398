"""Rows of a report: prompt, target, answer and scores."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.data import Row
from ftkit.errors import OutputError
from ftkit.files import canonical_digest
from ftkit.results.answer import Answer, FinishReason
from ftkit.results.json_values import canonical, plain
from ftkit.results.tool_call import calls_text, comparable_calls, typed_tool_calls
from ftkit.schema import JsonOutput, Output
from ftkit.schema.equality import same_value
from ftkit.schema.json_text import read_json
from ftkit.task import Task

__all__ = ["UNCLEAR", "Problem", "RowResult", "folded_prompt", "prompt_digest"]

UNCLEAR = "unclear"
"""Begins the reason in :attr:`RowResult.failures` of an answer that a program cannot read with certainty."""


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
    """Whether ``value`` holds the answer. False for an answer that only calls tools, which is in ``tool_calls``."""
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
    """By metric: why the answer could not be graded, or not be read by program with certainty, and counts as 0."""
    item: dict[str, Any] = {}
    """Columns of the row that graders read."""
    others: tuple[RowResult, ...] = ()
    """Further answers to the same prompt with their own scores, if several were sampled."""

    @property
    def answers(self) -> tuple[RowResult, ...]:
        """All answers to this prompt; the first is the row itself."""
        return (self, *self.others)

    @property
    def answered(self) -> bool:
        """Whether there is an answer: a value, or calls of tools."""
        return self.readable or self.tool_calls is not None

    @property
    def unclear(self) -> tuple[str, ...]:
        """The metrics for which a program cannot read the answer with certainty."""
        return tuple(name for name, reason in self.failures.items() if reason.partition(":")[0] == UNCLEAR)

    @property
    def valid(self) -> bool:
        """Whether the answer is parsed and has no problems."""
        return self.readable and not self.problems

    @property
    def wants_calls(self) -> bool:
        """Whether the wanted answer is calls of tools and no value; only metrics of calls score such a row."""
        return self.target is None and self.target_tool_calls is not None

    @property
    def calls_right(self) -> bool:
        """Whether the answer calls the tools that are wanted, with the same arguments in the same order."""
        return same_value(comparable_calls(self.tool_calls), comparable_calls(self.target_tool_calls))

    @property
    def said(self) -> str:
        """The answer for people: its text, and its calls of tools as :func:`calls_text` writes them."""
        return "\n".join(part for part in (self.text, calls_text(self.tool_calls)) if part)

    @property
    def wanted(self) -> str:
        """The wanted answer for people, likewise; other values than texts as JSON. Empty if there is none."""
        text = self.target if isinstance(self.target, str) else json.dumps(self.target, ensure_ascii=False)
        value = "" if self.target is None and (self.wants_calls or not self.has_target) else text
        return "\n".join(part for part in (value, calls_text(self.target_tool_calls)) if part)

    @classmethod
    def of(cls, row: Row, answer: Answer, reading: Task | Output, columns: Collection[str] | None = ()) -> RowResult:
        """Parse an answer and combine it with its row.

        Args:
            row: The row.
            answer: The model's answer.
            reading: The task, which parses the answer and may know the Python class; or only its output.
            columns: Columns to keep as :attr:`item` for graders; None keeps all.

        Returns:
            The row without scores.
        """
        task: Task[Any] = Task(output=reading) if isinstance(reading, Output) else reading
        failed = answer.finish_reason == "error"
        text = "" if failed else plain(answer.text)
        only_calls = bool(answer.tool_calls) and not text.strip()
        errors = [] if failed else _call_problems(answer.tool_calls) if only_calls else task.problems(text)
        value, readable = (None, False) if failed or only_calls else _read(task, text, not errors)
        target = _one_form(task, row.target)
        if readable and not errors and target is not None:
            value = task.align(value, target)
        wanted = row.completion or {}
        return cls(
            id=row.id,
            place=str(row.place),
            group=row.group,
            prompt=tuple(plain(message) for message in row.prompt),
            prompt_hash=prompt_digest(row),
            has_target=row.completion is not None,
            target=plain(target),
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


def _one_form(task: Task, target: Any) -> Any:
    """The target of a conversation as the target of a table would be; in the dataset it is as it was written."""
    if target is None or not isinstance(task.output, JsonOutput):
        return target
    try:
        return task.plain(json.dumps(target, ensure_ascii=False))
    except OutputError:  # data of another task, which the dataset has accepted
        return target


def _call_problems(calls: Sequence[Mapping[str, Any]] | None) -> list[OutputError]:
    problems = []
    for number, call in enumerate(calls or ()):
        try:
            typed_tool_calls([call])
        except OutputError as error:
            path = f"$.tool_calls[{number}].arguments"
            problems.append(OutputError(error.message, problem=error.problem, path=path, text=error.text))
    return problems


def _read(task: Task, text: str, valid: bool) -> tuple[Any, bool]:
    """Parse an answer; JSON that violates the schema is kept, because fields are compared one by one."""
    if valid:
        return task.plain(text), True
    if isinstance(task.output, JsonOutput):
        try:
            return read_json(text), True
        except OutputError:  # is among the row's problems
            return None, False
    return None, False


def _calls(calls: Any) -> tuple[dict[str, Any], ...] | None:
    return tuple(plain(call) for call in calls if isinstance(call, Mapping)) if calls else None
