"""Output items of OpenAI's Evals API, as lists of the API or as JSON Lines.

Source: ``GET /evals/{eval_id}/runs/{run_id}/output_items`` in OpenAI's API reference; the service ends on 2026-11-30.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from ftkit.errors import DataError
from ftkit.interchange.foreign import (
    Document,
    ForeignAnswer,
    ForeignResults,
    answer_text,
    chat_messages,
    items_of,
    number,
    text_of,
)
from ftkit.interchange.form import InterchangeForm

__all__ = ["OpenAIEvals"]

_OBJECT = "eval.run.output_item"
_TARGETS = ("ground_truth", "ideal", "expected", "expected_output", "target", "label", "correct_label", "reference")


class OpenAIEvals(InterchangeForm):
    """One record for each answer, with the model's messages and the results of every grader."""

    name = "openai_evals"

    @override
    def matches(self, document: Document) -> bool:
        content = document.content
        if isinstance(content, dict) and isinstance(content.get("data"), list):
            content = content["data"]
        first = content[0] if isinstance(content, list) and content else content
        return isinstance(first, dict) and first.get("object") == _OBJECT

    @override
    def read(self, document: Document, target: str | None) -> list[ForeignResults]:
        found: dict[tuple[str, str], list[ForeignAnswer]] = {}
        for place, item in document.values():
            if not isinstance(item, dict) or item.get("object") != _OBJECT:
                raise DataError(f'{place}: "object" is not "{_OBJECT}"')
            sample = _object(item.get("sample"))
            key = (str(sample.get("model") or "unknown"), str(item.get("run_id") or ""))
            found.setdefault(key, []).append(_answer(item, sample, place, target))
        return [
            ForeignResults(
                model=f"openai:{model}",
                answers=answers,
                about={"openai_eval_run": run},
                primary=None if all(one.target is not None for one in answers) else "passed",
            )
            for (model, run), answers in found.items()
        ]


def _answer(item: dict[str, Any], sample: dict[str, Any], place: str, target: str | None) -> ForeignAnswer:
    source = _object(item.get("datasource_item"))
    output = items_of(sample.get("output"), place, "sample.output")
    text = "".join(answer_text(turn, place) for turn in output)
    usage, error = _object(sample.get("usage")), _object(sample.get("error"))
    scores: dict[str, float | None] = {"passed": float(item.get("status") == "pass")}
    for result in items_of(item.get("results"), place, "results"):
        if isinstance(result, dict) and result.get("name"):
            score = number(result.get("score"))  # graders of degrees have one beside their verdict
            scores[str(result["name"])] = number(result.get("passed")) if score is None else score
    failed = item.get("status") == "error" or (not output and bool(error))
    return ForeignAnswer(
        place=place,
        id=str(item.get("datasource_item_id", item.get("id", place))),
        prompt=chat_messages(sample.get("input"), place),
        text=text,
        target=_target(source, target),
        scores=scores,
        error=str(error.get("message") or "the request failed") if failed else None,
        stop="length" if sample.get("finish_reason") == "length" else "stop",
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(usage.get("cached_tokens")),
        item=source,
    )


def _target(source: dict[str, Any], name: str | None) -> str | None:
    """The named column, else the only one with a usual name."""
    names = [name] if name is not None else [each for each in _TARGETS if source.get(each) is not None]
    if len(names) != 1 or source.get(names[0]) is None:
        return None
    return text_of(source[names[0]], names[0])


def _count(value: Any) -> int:
    return max(0, int(number(value) or 0))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
