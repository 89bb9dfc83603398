"""Samples of lm-evaluation-harness: ``samples_*.jsonl`` of ``--log_samples``.

Source: https://github.com/EleutherAI/lm-evaluation-harness, ``EvaluationTracker.save_results_samples``.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from ftkit.counts import counted
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
from ftkit.results.report import Report

__all__ = ["LMEval"]

_ERROR = "ftkit_error"
_MAX_LIST = 20_000
"""Characters of the longest list of right answers that is read."""


class LMEval(InterchangeForm):
    """One sample for each document and filter. Of multiple choice, the answer is that of the highest log-likelihood."""

    name = "lm_eval"
    suffix = ".jsonl"

    @override
    def matches(self, document: Document) -> bool:
        content = document.content[0] if isinstance(document.content, list) and document.content else document.content
        if not isinstance(content, dict):
            return False
        return {"doc_id", "resps"} <= content.keys() or {"results", "configs", "n-shot"} <= content.keys()

    @override
    def read(self, document: Document, target: str | None) -> list[ForeignResults]:
        content = document.content
        if isinstance(content, dict) and "results" in content and "doc_id" not in content:
            raise DataError(
                f"{document.name} has only sums; run lm_eval with --log_samples and give the file samples_….jsonl"
            )
        found: dict[str, list[ForeignAnswer]] = {}
        for place, sample in document.values():
            answer = _answer(sample, place, target)
            found.setdefault(str(sample.get("filter") or "none"), []).append(answer)
        model = document.path.resolve().parent.name.replace("__", "/") or "unknown"
        return [
            ForeignResults(
                model=model if len(found) == 1 else f"{model}, filter {name}",
                answers=answers,
                about={"lm_eval_samples": document.name, "lm_eval_filter": name},
                primary=None
                if all(one.target is not None for one in answers)
                else next((score for one in answers for score in one.scores), None),
            )
            for name, answers in found.items()
        ]

    @override
    def write(self, report: Report) -> str:
        names = written_names(report, self.name)
        lines = []
        for index, row in enumerate(report.rows):
            target = row.target if isinstance(row.target, str) else json.dumps(row.target, ensure_ascii=False)
            prompt = json.dumps(list(row.prompt), ensure_ascii=False)
            sample = {
                "doc_id": index,
                "doc": {"id": row.id, **row.item},
                "target": target if row.has_target else "",
                "arguments": {"gen_args_0": {"arg_0": [prompt], "arg_1": {"temperature": report.sampling.temperature}}},
                "resps": [[row.text]],
                "filtered_resps": [row.text],
                "filter": "none",
                "metrics": list(names),
                **{name: row.scores[own] for name, own in names.items() if row.scores.get(own) is not None},
                **({} if row.error is None else {_ERROR: row.error}),
            }
            lines.append(json.dumps(sample, ensure_ascii=False) + "\n")
        return "".join(lines)


def _answer(sample: Any, place: str, target: str | None) -> ForeignAnswer:
    if not isinstance(sample, dict) or "doc_id" not in sample:
        raise DataError(f"{place}: no sample of lm_eval: doc_id is missing")
    arguments = _arguments(sample.get("arguments"), place)
    given = sample.get("doc")
    doc: dict[str, Any] = given if isinstance(given, dict) else {}
    responses = sample.get("filtered_resps") or sample.get("resps") or []
    if not isinstance(responses, list) or not responses:
        raise DataError(f"{place}: resps is no list of answers")
    wanted = doc.get(target) if target is not None else sample.get("target")
    likelihoods = [_likelihood(response) for response in responses]
    if len(responses) > 1 and all(value is not None for value in likelihoods):
        choices = [text_of(argument[1], place).strip() for argument in arguments if len(argument) > 1]
        if len(choices) != len(responses):
            raise DataError(f"{place}: {len(responses)} log-likelihoods and {counted(len(choices), 'choice')}")
        likeliest = max(range(len(choices)), key=lambda index: likelihoods[index] or 0.0)
        if len(set(choices)) < len(choices):  # they go on from different prompts, so the target tells none from another
            choices = [text_of(argument[0], place) + text_of(argument[1], place) for argument in arguments]
            wanted = None
        text = choices[likeliest]
        wanted = _wanted_choice(wanted, choices, text, number(sample.get("acc")), place)
    else:
        first = responses[0]
        while isinstance(first, list) and first:
            first = first[0]
        text = "" if first == [] else text_of(first, place)
        wanted = _only_answer(wanted, text)
    names = items_of(sample.get("metrics"), place, "metrics")
    return ForeignAnswer(
        place=place,
        id=str(sample["doc_id"]),
        prompt=_prompt(arguments[0][0], place),
        text=text,
        target=None if wanted is None or wanted == "" else text_of(wanted, place),
        scores={str(name): number(sample.get(str(name))) for name in names if isinstance(name, str)},
        item=doc,
        error=_error(sample),
    )


def _error(sample: dict[str, Any]) -> str | None:
    """Why there is no answer, in samples that ftkit wrote: lm_eval itself stops at the first request that fails."""
    error = sample.get(_ERROR)
    return error if isinstance(error, str) and error else None


def _wanted_choice(wanted: Any, choices: Sequence[str], text: str, accuracy: float | None, place: str) -> str | None:
    """The right choice: lm_eval writes its index or itself, both as a text; its own accuracy says which it means."""
    if wanted is None:
        return None
    found = []
    index = number(wanted)
    if index is None and isinstance(wanted, str) and wanted.isascii() and wanted.isdigit() and len(wanted) < 6:
        index = float(wanted)
    if index is not None and index.is_integer() and 0 <= index < len(choices):
        found.append(choices[int(index)])
    if isinstance(wanted, str) and wanted.strip() in choices:
        found.append(wanted.strip())
    if accuracy in (0, 1):
        found = [one for one in found if (one == text) == bool(accuracy)]
    elif not found:
        return text_of(wanted, place)
    return found[0] if found else None


def _only_answer(wanted: Any, text: str) -> Any:
    """The wanted answer; None if there are several, which lm_eval writes as the text of a Python list."""
    if isinstance(wanted, str) and wanted[:1] == "[" and len(wanted) <= _MAX_LIST and text.lstrip()[:1] != "[":
        try:
            wanted = ast.literal_eval(wanted)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return wanted
    if isinstance(wanted, list) and all(isinstance(one, str) for one in wanted):
        return wanted[0] if len(wanted) == 1 else None
    return wanted


def _arguments(value: Any, place: str) -> list[list[Any]]:
    """The arguments of every request, from both forms in which lm_eval writes them."""
    if isinstance(value, dict):
        value = [
            [arguments[name] for name in sorted(arguments)]
            for arguments in value.values()
            if isinstance(arguments, dict)
        ]
    found = [
        [one[0] if isinstance(one, list) and len(one) == 1 else one for one in arguments]
        for arguments in (value if isinstance(value, list) else ())
        if isinstance(arguments, list) and arguments
    ]
    if not found:
        raise DataError(f"{place}: arguments is missing, so the prompt is not known")
    return found


def _prompt(value: Any, place: str) -> Any:
    """lm_eval writes chat prompts as JSON text."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return chat_messages(value, place)
        if isinstance(parsed, list) and all(isinstance(turn, dict) and "role" in turn for turn in parsed):
            return chat_messages(parsed, place)
    return chat_messages(value, place)


def _likelihood(response: Any) -> float | None:
    """The log-likelihood of ``[log-likelihood, is greedy]``, whose numbers may be texts."""
    while isinstance(response, list) and len(response) == 1:
        response = response[0]
    if not isinstance(response, list) or len(response) != 2:
        return None
    try:
        return float(response[0])
    except (TypeError, ValueError):
        return None
