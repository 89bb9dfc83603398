"""Results of ``promptfoo eval -o results.json``, versions 2 and 3.

Source: https://www.promptfoo.dev/docs/configuration/outputs/ and ``EvaluateSummaryV3`` in promptfoo's ``src/types``.
"""

from __future__ import annotations

import json
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
from ftkit.interchange.form import InterchangeForm, written_names
from ftkit.interchange.promptfoo_values import wanted_text
from ftkit.results.report import Report

__all__ = ["Promptfoo"]


class Promptfoo(InterchangeForm):
    """One result for each provider, prompt and test. The score ``pass`` is promptfoo's own verdict."""

    name = "promptfoo"

    @override
    def matches(self, document: Document) -> bool:
        return isinstance(document.content, dict) and (
            _results(document.content) is not None
            or (document.lines is not None and {"promptIdx", "gradingResult", "vars"} <= document.content.keys())
        )

    @override
    def read(self, document: Document, target: str | None) -> list[ForeignResults]:
        summary = _results(document.content)
        if document.lines is not None:  # of ``-o results.jsonl``, without the summary
            summary = {"results": [result for _, result in document.lines]}
        if summary is None:
            raise DataError(f'{document.name}: no results of promptfoo: "results.results" is missing')
        found: dict[tuple[str, int], list[ForeignAnswer]] = {}
        for count, result in enumerate(summary["results"], 1):
            place = f"{document.name}: result {count}"
            if not isinstance(result, dict):
                raise DataError(f"{place}: not an object")
            provider = result.get("provider")
            model = provider.get("label") or provider.get("id") if isinstance(provider, dict) else provider
            key = (str(model or "unknown"), int(number(result.get("promptIdx")) or 0))
            found.setdefault(key, []).append(_answer(result, place, target))
        prompts = len({prompt for _, prompt in found})
        return [
            ForeignResults(
                model=model if prompts == 1 else f"{model}, prompt {prompt + 1}",
                answers=answers,
                created_at=str(summary.get("timestamp") or ""),
                about={"promptfoo_eval": document.content.get("evalId"), "prompt": prompt},
                primary=None if all(one.target is not None for one in answers) else "pass",
            )
            for (model, prompt), answers in found.items()
        ]

    @override
    def write(self, report: Report) -> str:
        results = [_result(report, index) for index in range(len(report.rows))]
        right = sum(result["success"] for result in results)
        errors = sum(row.finish_reason == "error" for row in report.rows)
        usage = {"prompt": report.usage.input_tokens, "completion": report.usage.output_tokens}
        usage |= {"cached": report.usage.cached_tokens, "total": sum(usage.values())}
        content = {
            "evalId": f"ftkit-{report.digest.removeprefix('sha256:')[:12]}",
            "results": {
                "version": 3,
                "timestamp": report.created_at,
                "prompts": [],
                "results": results,
                "stats": {
                    "successes": right,
                    "failures": len(results) - right - errors,
                    "errors": errors,
                    "tokenUsage": usage,
                },
            },
            "config": {"description": report.label},
            "shareableUrl": None,
        }
        return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _results(content: Any) -> dict[str, Any] | None:
    """The summary, of which older versions have no envelope."""
    inner = content.get("results")
    if isinstance(inner, dict) and isinstance(inner.get("results"), list):
        return inner
    return content if isinstance(inner, list) and "stats" in content else None


def _answer(result: dict[str, Any], place: str, target: str | None) -> ForeignAnswer:
    response = _object(result.get("response"))
    usage = _object(response.get("tokenUsage"))
    grading = _object(result.get("gradingResult"))
    variables = _object(result.get("vars"))
    output = response.get("output")
    scores = {str(name): _rate(value) for name, value in _object(result.get("namedScores")).items()}
    error = result.get("error") if output is None else None
    text = "" if output is None else output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return ForeignAnswer(
        place=place,
        id=str(result.get("testIdx", result.get("id", place))),
        prompt=_prompt(_object(result.get("prompt")).get("raw"), place),
        text=text,
        target=_target(result, variables, target, place),
        scores={"pass": number(grading.get("pass", result.get("success"))), **scores},
        error=str(error or response.get("error") or "no output") if output is None else None,
        input_tokens=_count(usage.get("prompt")),
        output_tokens=_count(usage.get("completion")),
        cached_tokens=_count(usage.get("cached")),
        latency_s=(number(result.get("latencyMs")) or 0.0) / 1000,
        cost_usd=number(result.get("cost")),
        item=variables,
    )


def _prompt(raw: Any, place: str) -> Any:
    """Read a prompt; chat prompts are JSON text."""
    if isinstance(raw, str) and raw.lstrip()[:1] == "[":
        try:
            parsed = json.loads(raw)
        except (ValueError, RecursionError):
            return chat_messages(raw, place)
        if isinstance(parsed, list) and all(isinstance(turn, dict) and "role" in turn for turn in parsed):
            return chat_messages(parsed, place)
    return chat_messages(raw, place)


def _target(result: dict[str, Any], variables: dict[str, Any], name: str | None, place: str) -> str | None:
    """The named variable, else the value of an ``equals`` assertion, in which variables are not yet filled in."""
    if name is not None:
        value = variables.get(name)
        return None if value is None else text_of(value, name)
    checks = items_of(_object(result.get("testCase")).get("assert"), place, "testCase.assert")
    if not checks:  # older versions have them beside their verdicts alone
        graded = items_of(_object(result.get("gradingResult")).get("componentResults"), place, "componentResults")
        checks = [_object(part).get("assertion") for part in graded]
    values = [check.get("value") for check in checks if isinstance(check, dict) and check.get("type") == "equals"]
    return wanted_text(values[0], variables) if values else None


def _result(report: Report, index: int) -> dict[str, Any]:
    row = report.rows[index]
    names = written_names(report, "promptfoo")
    verdict = names.pop("pass", report.primary)
    score = row.scores.get(verdict)
    checks = [{"type": "equals", "value": row.wanted}] if row.has_target else []
    success = bool(score is not None and score >= 1)
    return {
        "promptIdx": 0,
        "testIdx": index,
        "id": row.id,
        "provider": {"id": report.model, "label": report.label},
        "prompt": {"raw": json.dumps(list(row.prompt), ensure_ascii=False), "label": "row"},
        "vars": {"id": row.id},
        "testCase": {"vars": {"id": row.id}, "assert": checks},
        "response": {
            **({"error": row.error} if row.finish_reason == "error" else {"output": row.said}),
            "tokenUsage": {
                "prompt": row.input_tokens,
                "completion": row.output_tokens,
                "cached": row.cached_tokens,
                "total": row.input_tokens + row.output_tokens,
            },
        },
        "error": row.error,
        "success": success,
        "score": score or 0.0,
        "namedScores": {name: value for name, own in names.items() if (value := row.scores.get(own)) is not None},
        "gradingResult": {"pass": success, "score": score or 0.0, "reason": verdict},
        "latencyMs": round(row.latency_s * 1000),
        **({} if row.cost_usd is None else {"cost": row.cost_usd}),
    }


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return max(0, int(number(value) or 0))


def _rate(value: Any) -> float | None:
    found = number(value)
    return None if found is None or not 0 <= found <= 1 else found
