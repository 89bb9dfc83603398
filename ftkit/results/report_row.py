"""One row of a report: what was asked, what was wanted, what came back, and how it scored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ftkit.data import Row
from ftkit.errors import OutputError
from ftkit.files import canonical_digest
from ftkit.results.answer import Answer, FinishReason
from ftkit.results.json_values import canonical, plain
from ftkit.schema import JsonOutput, Output
from ftkit.schema.json_text import read_json

__all__ = ["Problem", "RowResult", "prompt_digest"]


class Problem(BaseModel):
    """One mistake in an answer, as the output's schema sees it."""

    model_config = ConfigDict(frozen=True)

    problem: Literal["not_json", "missing_field", "extra_field", "wrong_type", "invalid_value"]
    path: str
    """JSON path of the place, ``$`` for the whole answer."""
    message: str


class RowResult(BaseModel):
    """A row and its answer: what metrics see, and what a report keeps so that it can be scored again.

    Every value is plain JSON.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    place: str
    """File and line, e.g. ``visits.jsonl:12``."""
    group: str | None
    """Rows of one group (a patient, a document) are not independent; intervals account for it."""
    prompt: tuple[dict[str, Any], ...]
    """The messages that were sent."""
    prompt_hash: str
    """Over the messages and the tools; comparisons refuse rows where it differs."""
    has_target: bool
    """Whether the data holds a wanted answer; without one, no metric that needs it counts the row."""
    target: Any
    target_tool_calls: tuple[dict[str, Any], ...] | None
    text: str
    """The model's answer as it came."""
    value: Any
    """The answer read as the output's kind: a JSON value (though the schema may find problems in it), a choice or a
    text; ``None`` when it could not be read at all."""
    readable: bool
    """Whether ``value`` holds the answer."""
    problems: tuple[Problem, ...]
    tool_calls: tuple[dict[str, Any], ...] | None
    finish_reason: FinishReason
    error: str | None
    """Why the model could not be asked, when ``finish_reason`` is ``"error"``."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    latency_s: float
    cost_usd: float | None
    logprob: float | None = None
    """Logarithm of the probability that the model gave to its answer, where the place says it."""
    scores: dict[str, float | None] = {}
    """By metric; ``None`` where the metric does not count the row. With several answers: the mean of theirs."""
    failures: dict[str, str] = {}
    """By metric: why a grader could not grade the answer, which then counts 0."""
    item: dict[str, Any] = {}
    """The columns of the row that graders among the metrics read."""
    others: tuple[RowResult, ...] = ()
    """Further answers to the same prompt, each with its own scores, when several samples were drawn."""

    @property
    def answers(self) -> tuple[RowResult, ...]:
        """Every answer to this prompt, the first of them this row's own."""
        return (self, *self.others)

    @property
    def valid(self) -> bool:
        """Whether the answer can be used as it is: asked, readable and without a problem."""
        return self.readable and not self.problems

    @classmethod
    def of(cls, row: Row, answer: Answer, output: Output, columns: Collection[str] | None = ()) -> RowResult:
        """Read ``answer`` the way ``output`` does and keep it beside its row.

        Args:
            columns: those that graders read, kept as :attr:`item`; None keeps all.
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
            item={name: plain(value) for name, value in row.item.items() if columns is None or name in columns},
        )


def prompt_digest(row: Row) -> str:
    """The fingerprint of what is sent for ``row``."""
    return canonical_digest(canonical(plain([row.prompt, row.tools])))


def _read(output: Output, text: str, valid: bool) -> tuple[Any, bool]:
    """The answer's value and whether there is one: JSON that breaks the schema is still compared field by field."""
    if valid:
        return output.parse(text), True
    if isinstance(output, JsonOutput):
        try:
            return read_json(text), True
        except OutputError:  # listed among the row's problems
            return None, False
    return None, False


def _calls(calls: Any) -> tuple[dict[str, Any], ...] | None:
    return tuple(plain(call) for call in calls if isinstance(call, Mapping)) if calls else None
