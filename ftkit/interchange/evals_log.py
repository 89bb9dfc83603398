"""Logs of OpenAI's open-source Evals (``oaieval``): JSON Lines of events.

Source: https://github.com/openai/evals, ``evals/record.py``.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from ftkit.errors import DataError
from ftkit.interchange.foreign import (
    Document,
    ForeignAnswer,
    ForeignResults,
    chat_messages,
    items_of,
    number,
    text_of,
)
from ftkit.interchange.form import InterchangeForm

__all__ = ["EvalsLog"]


class EvalsLog(InterchangeForm):
    """One event for each answer and one for each verdict, by sample. Samples with several answers are refused."""

    name = "openai_evals_log"
    suffix = ".jsonl"

    @override
    def matches(self, document: Document) -> bool:
        content = document.content
        return isinstance(content, dict) and (
            isinstance(content.get("spec"), dict) and "eval_name" in content["spec"]
            if "spec" in content
            else {"run_id", "event_id", "sample_id"} <= content.keys()
        )

    @override
    def read(self, document: Document, target: str | None) -> list[ForeignResults]:
        spec: dict[str, Any] = {}
        sampled: dict[str, tuple[str, dict[str, Any]]] = {}
        verdicts: dict[str, dict[str, Any]] = {}
        metrics: dict[str, dict[str, float | None]] = {}
        for place, event in document.values():
            if not isinstance(event, dict):
                raise DataError(f"{place}: not an object")
            if isinstance(event.get("spec"), dict):
                spec = event["spec"]
            name, kind, data = event.get("sample_id"), event.get("type"), event.get("data")
            if not isinstance(name, str) or not isinstance(data, dict):
                continue  # the spec, the report at the end, or an event of the whole run
            if kind == "sampling":
                if name in sampled:
                    raise DataError(f"{place}: sample {name} has several answers; only one can be read")
                sampled[name] = (place, data)
            elif kind == "match":
                verdicts[name] = data
            elif kind == "metrics":
                found = {key: number(value) for key, value in data.items()}
                metrics[name] = {key: value for key, value in found.items() if value is not None}
        if not sampled:
            raise DataError(f"{document.name} has no answers: no event has the type sampling")
        answers = [
            _answer(name, place, data, verdicts.get(name), metrics.get(name, {}), target)
            for name, (place, data) in sampled.items()
        ]
        models = items_of(spec.get("completion_fns"), document.name, "spec.completion_fns")
        scores = [score for one in answers for score in one.scores]
        return [
            ForeignResults(
                model=f"openai:{models[0]}" if models else "unknown",
                answers=answers,
                created_at=str(spec.get("created_at") or ""),
                about={"openai_eval": spec.get("eval_name"), "openai_eval_run": spec.get("run_id")},
                primary=next(
                    iter(scores), None
                ),  # its verdicts are not of equality: an answer may go on after the word
            )
        ]


def _answer(
    name: str,
    place: str,
    data: dict[str, Any],
    verdict: dict[str, Any] | None,
    metrics: dict[str, float | None],
    target: str | None,
) -> ForeignAnswer:
    texts = data.get("sampled")
    if isinstance(texts, list) and len(texts) == 1:
        texts = texts[0]
    if not isinstance(texts, str):
        raise DataError(f"{place}: data.sampled is not one text")
    wanted = None if verdict is None or target is not None else verdict.get("expected")
    if isinstance(wanted, list):  # several right answers
        wanted = wanted[0] if len(wanted) == 1 else None
    scores: dict[str, float | None] = {} if verdict is None else {"correct": number(verdict.get("correct"))}
    return ForeignAnswer(
        place=place,
        id=name,
        prompt=chat_messages(data.get("prompt"), place),
        text=texts,
        target=None if wanted is None else text_of(wanted, place),
        scores=scores | metrics,
    )
