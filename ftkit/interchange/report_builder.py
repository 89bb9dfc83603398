"""From another tool's answers to a report of ftkit, which can be compared and rescored."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftkit.counts import counted
from ftkit.data import Dataset, Row
from ftkit.data.formats.system_turns import one_system_turn
from ftkit.errors import ConfigError, DataError, FormatError, Place
from ftkit.evaluation.metrics import Metric, MetricContext, RowMetric, headline, select_metrics
from ftkit.evaluation.scoring import measure, score_rows
from ftkit.files import canonical_digest, write_atomically
from ftkit.interchange.foreign import AFTER_TOOLS, Document, ForeignAnswer, ForeignResults, read_document
from ftkit.interchange.form import FORMS, InterchangeForm
from ftkit.results.answer import Answer, Sampling
from ftkit.results.json_values import canonical, plain
from ftkit.results.report import Report
from ftkit.results.report_row import RowResult
from ftkit.results.resources import Cost, Timing, Usage
from ftkit.schema import Output, TextOutput, infer_output
from ftkit.task import Task
from ftkit.version import __version__

__all__ = ["answers_as_rows", "export_report", "import_reports"]


def import_reports(
    path: str | os.PathLike[str],
    *,
    form: str = "auto",
    target: str | None = None,
    task: Task | None = None,
    label: str | None = None,
    confidence: float = 0.95,
) -> list[Report]:
    """Read the results of another evaluation tool as reports.

    The tool's own scores become metrics of the report, beside those of the task's output.

    Args:
        path: the file: results of promptfoo, output items of OpenAI's Evals, a log of inspect_ai, samples of lm_eval.
        form: name of the form; ``"auto"`` finds out.
        target: name of the column of the wanted answer, where the file does not say which it is.
        task: the task, whose output parses the answers; by default the output is inferred from the wanted answers.
        label: name of the reports in tables; by default the model's name.
        confidence: confidence level of the intervals.

    Returns:
        One report for each model and prompt in the file.

    Raises:
        DataError: the file cannot be read, is too large, or breaks its form; names the place.
        ConfigError: there is no such form.
    """
    document = read_document(Path(path))
    chosen = _form(document) if form == "auto" else FORMS.get(form)
    results = chosen.read(document, target)
    if not results:
        raise DataError(f"{document.name} has no answers")
    return [_report(each, chosen.name, document, task, label, confidence) for each in results]


def export_report(report: Report, path: str | os.PathLike[str], *, form: str) -> Path:
    """Write a report in the form of another evaluation tool.

    Args:
        report: the report.
        path: the file.
        form: name of the form.

    Returns:
        The path.

    Raises:
        ConfigError: there is no such form, it is only read, or it cannot express the report.
    """
    chosen = FORMS.get(form)
    if report.samples > 1:
        raise ConfigError(f"the report has {counted(report.samples, 'answer')} to each row, and {form} has one")
    calls = next((row for row in report.rows if row.tool_calls or row.target_tool_calls), None)
    if calls is not None:
        raise ConfigError(f"row {calls.id} ({calls.place}) calls tools, which ftkit does not write as {form}")
    write_atomically(Path(path), chosen.write(report))
    return Path(path)


def answers_as_rows(report: Report, *, only_right: bool = True) -> Dataset:
    """Make training rows of a report's answers: a frozen model teaches its successor.

    Args:
        report: the report. Answers that followed calls of tools are left out, because a report does not hold the calls.
        only_right: leave out answers that the headline metric does not count as right. Rows without a target are kept
            if their answers are valid.

    Returns:
        Conversations that end with the model's answer.

    Raises:
        DataError: no answer is left.
    """
    rows = []
    for row in report.rows:
        score = row.scores.get(report.primary)
        right = row.valid if score is None else score >= 1
        if row.finish_reason in ("error", "length") or AFTER_TOOLS in row.item or (only_right and not right):
            continue
        turn: dict[str, Any] = {"role": "assistant"}
        if row.text or not row.tool_calls:
            turn["content"] = row.text
        if row.tool_calls:
            turn["tool_calls"] = list(row.tool_calls)
        if row.text or row.tool_calls:
            rows.append({"id": row.id, "messages": [*one_system_turn(row.prompt), turn]})
    if not rows:
        called = sum(AFTER_TOOLS in row.item for row in report.rows)
        why = f"; {called:,} followed calls of tools, which a report does not hold" if called else ""
        raise DataError(f"no answer of {report.label} can be a row: none is right and complete{why}")
    return Dataset.from_rows(rows, name=report.label)


def _form(document: Document) -> InterchangeForm:
    found = [form for form in dict(FORMS.items()).values() if form.matches(document)]
    if len(found) != 1:
        if not found:
            raise FormatError(
                f"{document.name}: no results of {', '.join(FORMS.names())}. Traces are read with `ftkit data traces`, "
                "and a configuration of promptfoo with `ftkit convert --to task`"
            )
        raise FormatError(f"{document.name}: the form may be {' or '.join(form.name for form in found)}; name it")
    return found[0]


def _report(
    results: ForeignResults, form: str, document: Document, task: Task | None, label: str | None, confidence: float
) -> Report:
    output = _output(results.answers) if task is None else task.output
    scores = list(dict.fromkeys(name for answer in results.answers for name in answer.scores))
    unscored = tuple(_row(answer, output) for answer in results.answers)
    own = [_score(f"{form}:{name}", form, name, results.answers) for name in scores]
    given: list[Any] = ["auto"] if any(row.has_target for row in unscored) or not own else []
    selected = select_metrics([*given, *own], MetricContext(output, unscored, {}))
    primary = headline(selected, None if results.primary is None else f"{form}:{results.primary}")
    rows = score_rows(unscored, selected)
    task = task or Task(output=output)
    costs = [answer.cost_usd for answer in results.answers]
    total = sum(cost for cost in costs if cost is not None) if all(cost is not None for cost in costs) else None
    latencies = sorted(answer.latency_s for answer in results.answers if answer.latency_s)
    return Report(
        label=label or results.model,
        model=results.model,
        about=plain({"imported_from": form, **results.about}),
        task=plain(task.model_dump(mode="json")),
        task_fingerprint=task.fingerprint,
        dataset_fingerprint=canonical_digest(canonical(plain([[row.prompt_hash, row.target] for row in rows]))),
        sources=(document.name,),
        sampling=Sampling(),
        created_at=results.created_at or datetime.now(UTC).isoformat(timespec="seconds"),
        ftkit_version=__version__,
        confidence=confidence,
        seed=0,
        primary=primary,
        metrics=measure(rows, selected, confidence=confidence),
        usage=Usage(
            input_tokens=sum(row.input_tokens for row in rows),
            output_tokens=sum(row.output_tokens for row in rows),
            cached_tokens=sum(row.cached_tokens for row in rows),
        ),
        timing=Timing(
            wall_s=sum(latencies),
            latency_p50_s=latencies[len(latencies) // 2] if latencies else None,
            latency_p95_s=latencies[int(len(latencies) * 0.95)] if latencies else None,
            output_tokens_per_s=None,
        ),
        cost=Cost(
            total_usd=total,
            per_1000_usd=None if total is None else total / len(rows) * 1000,
            per_success_usd=None,
            source=f"as {form} recorded it" if total is not None else f"{form} recorded no cost",
        ),
        rows=rows,
    )


def _output(answers: Sequence[ForeignAnswer]) -> Output:
    """The output that allows every wanted answer; text if there are none."""
    targets = [answer.target for answer in answers if answer.target is not None]
    return infer_output(targets) if len(targets) == len(answers) and any(map(str.strip, targets)) else TextOutput()


def _row(answer: ForeignAnswer, output: Output) -> RowResult:
    target: Any = answer.target
    if answer.target is not None:
        try:
            target = output.parse(answer.target)
        except ValueError as error:
            raise DataError(f"{answer.place}: the wanted answer is not valid for the task: {error}") from None
    row = Row(
        id=answer.id,
        place=Place(answer.place, 1),
        columns=answer.item,
        prompt=answer.prompt,
        target=target,
        completion=None if answer.target is None else {"role": "assistant", "content": answer.target},
        tools=None,
        group=None,
    )
    said = Answer(
        text=answer.text,
        finish_reason="error" if answer.error is not None else answer.stop,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        latency_s=answer.latency_s,
        cached_tokens=min(answer.cached_tokens, answer.input_tokens),
        cost_usd=answer.cost_usd,
        error=answer.error,
    )
    return RowResult.of(row, said, output, (AFTER_TOOLS,)).model_copy(update={"place": answer.place})


def _score(name: str, form: str, key: str, answers: Sequence[ForeignAnswer]) -> Metric:
    """A metric that returns the score that the tool gave."""
    values = {(one.place): one.scores.get(key) for one in answers}
    rate = all(value is None or 0 <= value <= 1 for value in values.values())

    def score(row: RowResult) -> float | None:
        return 0.0 if row.finish_reason == "error" else values.get(row.place)

    scorer: Callable[[RowResult], float | None] = score
    return RowMetric(
        name=name,
        description=f"{key}, as {form} scored it",
        higher_is_better=True,
        unit="rate" if rate else "number",
        score=scorer,
    )
