"""Logs of inspect_ai, version 2: ``.eval`` archives and ``.json`` files.

Source: ``EvalLog`` and ``EvalSample`` in ``inspect_ai.log``, https://inspect.aisi.org.uk/eval-logs.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from ftkit.errors import DataError
from ftkit.interchange.foreign import (
    AFTER_TOOLS,
    MAX_ROWS,
    Document,
    ForeignAnswer,
    ForeignResults,
    answer_text,
    chat_messages,
    items_of,
    number,
    text_of,
)
from ftkit.interchange.form import InterchangeForm, written_names
from ftkit.results.report import Report

__all__ = ["InspectAI"]

_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""inspect_ai's correct, partial, incorrect and no answer."""
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_LONGEST_NUMBER = 40
_STOPS = {"max_tokens": "length", "model_length": "length", "tool_calls": "tool_calls"}


class InspectAI(InterchangeForm):
    """One sample for each question and epoch. Scores keep their scorer's name; C, P, I and N become numbers."""

    name = "inspect_ai"

    @override
    def matches(self, document: Document) -> bool:
        content = document.content
        return isinstance(content, dict) and isinstance(content.get("eval"), dict) and "status" in content

    @override
    def read(self, document: Document, target: str | None) -> list[ForeignResults]:
        if not self.matches(document):
            raise DataError(f'{document.name}: no log of inspect_ai: "eval" is missing')
        status = document.content["status"]
        if status != "success":
            raise DataError(
                f"{document.name}: the evaluation has the status {status!r}, so its results would be those of a part "
                "of the rows; finish it with `inspect eval-retry`"
            )
        about = document.content["eval"]
        answers: list[ForeignAnswer] = []
        for place, sample in _samples(document):
            if not isinstance(sample, dict):
                raise DataError(f"{place}: not an object")
            if len(answers) == MAX_ROWS:
                raise DataError(f"{document.name} has more than {MAX_ROWS:,} samples")
            answers.append(_answer(sample, place, target))
        if not answers:
            raise DataError(f"{document.name} has no samples; inspect_ai's header-only logs have no answers")
        scored = next((name for one in answers for name in one.scores), None)
        return [
            ForeignResults(
                model=str(about.get("model") or "unknown"),
                answers=answers,
                created_at=str(about.get("created") or ""),
                about={"inspect_task": about.get("task"), "inspect_packages": about.get("packages")},
                primary=None if all(one.target is not None for one in answers) else scored,
            )
        ]

    @override
    def write(self, report: Report) -> str:
        names = written_names(report, self.name)
        usage = {
            "input_tokens": report.usage.input_tokens,
            "output_tokens": report.usage.output_tokens,
            "total_tokens": report.usage.input_tokens + report.usage.output_tokens,
        }
        model = re.sub(r":", "/", report.model, count=1)
        content = {
            "version": 2,
            "status": "success",
            "eval": {
                "eval_id": report.digest.removeprefix("sha256:")[:22],
                "run_id": report.digest.removeprefix("sha256:")[22:44],
                "created": report.created_at,
                "task": re.sub(r"[^\w-]", "_", report.label) or "report",
                "task_id": report.task_fingerprint.removeprefix("sha256:")[:22],
                "task_version": 0,
                "dataset": {"name": ", ".join(report.sources), "samples": len(report.rows)},
                "model": model,
                "config": {},
                "packages": {"ftkit": report.ftkit_version},
                "metadata": {"ftkit_report": report.digest},
            },
            "plan": {"name": "plan", "steps": [], "config": {"max_tokens": report.sampling.token_limit}},
            "results": {
                "total_samples": len(report.rows),
                "completed_samples": sum(row.finish_reason != "error" for row in report.rows),
                "scores": [_result(report, name, own) for name, own in names.items()],
            },
            "stats": {
                "started_at": report.created_at,
                "completed_at": report.created_at,
                "model_usage": {model: usage},
            },
            "samples": [_sample(report, index, model, names) for index in range(len(report.rows))],
        }
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _samples(document: Document) -> Iterator[tuple[str, Any]]:
    if document.archive:
        for name, sample in document.members("samples/"):
            yield f"{document.name}: {name}", sample
        return
    for count, sample in enumerate(items_of(document.content.get("samples"), document.name, "samples"), 1):
        yield f"{document.name}: sample {count}", sample


def _answer(sample: dict[str, Any], place: str, target: str | None) -> ForeignAnswer:
    output = _object(sample.get("output"))
    choices = output.get("choices") or []
    choice = _object(choices[0]) if isinstance(choices, list) and choices else {}
    usage = _object(output.get("usage"))
    cached = int(number(usage.get("input_tokens_cache_read")) or 0)
    error = _object(sample.get("error")).get("message") or output.get("error")
    metadata = _object(sample.get("metadata"))
    asked, after_tools = _asked(sample)
    wanted = metadata.get(target) if target is not None else sample.get("target")
    if isinstance(wanted, list):
        wanted = wanted[0] if len(wanted) == 1 else None  # several alternatives are not one answer
    return ForeignAnswer(
        place=place,
        id=str(sample.get("id", place)),
        prompt=chat_messages(asked, place),
        text=answer_text(choice.get("message"), place) if choice else str(output.get("completion") or ""),
        target=None if wanted is None or wanted == "" else text_of(wanted, place),
        scores=_scores(_object(sample.get("scores"))),
        error=None if choice else str(error or "no answer"),
        stop=_STOPS.get(str(choice.get("stop_reason")), "stop"),  # type: ignore[arg-type]
        input_tokens=int(number(usage.get("input_tokens")) or 0) + cached,
        output_tokens=int(number(usage.get("output_tokens")) or 0),
        cached_tokens=cached,
        latency_s=number(output.get("time")) or number(sample.get("total_time")) or 0.0,
        cost_usd=number(usage.get("total_cost")),
        item={**metadata, AFTER_TOOLS: True} if after_tools else metadata,
    )


def _asked(sample: dict[str, Any]) -> tuple[Any, bool]:
    """What the model was asked first, and whether it called tools before its answer.

    Solvers add system messages and templates of choices, which stand in ``messages`` and not in ``input``.

    Returns:
        The turns, and whether.
    """
    messages = sample.get("messages")
    if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
        return sample.get("input"), False
    own = [
        at
        for at, turn in enumerate(messages)
        if turn.get("role") == "assistant" and turn.get("source", "generate") != "input"
    ]
    if not own or own[0] == 0:
        return sample.get("input"), False
    return messages[: own[0]], any(turn.get("role") == "tool" for turn in messages[own[0] :])


def _scores(given: dict[str, Any]) -> dict[str, float | None]:
    """The scores by name. A score of several values becomes one for each, named ``scorer/value``."""
    found: dict[str, float | None] = {}
    for name, score in given.items():
        value = _object(score).get("value")
        if isinstance(value, dict):
            found |= {f"{name}/{part}": _grade(each) for part, each in value.items()}
        else:
            found[str(name)] = _grade(value)
    return found


def _grade(value: Any) -> float | None:
    """A score as a number, as ``inspect_ai.scorer.value_to_float`` reads it."""
    if not isinstance(value, str):
        return number(value)
    known = _GRADES.get(value, _WORDS.get(value.lower()))
    if known is not None:
        return known
    try:
        return number(float(value)) if len(value) <= _LONGEST_NUMBER else None
    except ValueError:
        return None


def _sample(report: Report, index: int, model: str, names: dict[str, str]) -> dict[str, Any]:
    row = report.rows[index]
    target = row.target if isinstance(row.target, str) else json.dumps(row.target, ensure_ascii=False)
    prompt = [{"role": turn["role"], "content": turn.get("content") or ""} for turn in row.prompt]
    failed = row.finish_reason == "error"
    answer = {"role": "assistant", "content": row.text, "source": "generate", "model": model}
    usage = {
        "input_tokens": row.input_tokens - row.cached_tokens,
        "output_tokens": row.output_tokens,
        "total_tokens": row.input_tokens + row.output_tokens,
        "input_tokens_cache_read": row.cached_tokens,
    }
    stop = "max_tokens" if row.finish_reason == "length" else "stop"
    return {
        "id": row.id,
        "epoch": 1,
        "input": prompt,
        "target": target if row.has_target else "",
        "messages": prompt if failed else [*prompt, answer],
        "output": {
            "model": model,
            "choices": [] if failed else [{"message": answer, "stop_reason": stop}],
            "usage": usage,
            "time": row.latency_s,
            "error": row.error,
        },
        "scores": {
            name: {"value": row.scores[own], "answer": row.text}
            for name, own in names.items()
            if row.scores.get(own) is not None
        },
        "metadata": dict(row.item),
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }


def _result(report: Report, name: str, own: str) -> dict[str, Any]:
    metric = report[own]
    return {
        "name": name,
        "scorer": name,
        "params": {},
        "metrics": {"mean": {"name": "mean", "value": metric.value or 0.0, "params": {}}},
    }


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
