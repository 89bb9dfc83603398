"""Baselines for a tuned model: the base model, zero-shot and few-shot, answering freely and held to the schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.arguments import check_kind, explain_calls
from ftkit.data import Dataset
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError
from ftkit.evaluation.answer_journal import answers_kept
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.model_with_task import ModelWithTask
from ftkit.evaluation.request_runner import EvaluableModel, check_model
from ftkit.results.report import Report
from ftkit.schema import TextOutput
from ftkit.task import Task

__all__ = ["baselines", "check_other_prompt"]


@explain_calls(instead="ft.baselines(model, data, examples=train)")
@answers_kept()
def baselines(
    model: EvaluableModel,
    data: Dataset,
    *,
    examples: Dataset,
    shots: Sequence[int] = (0, 4),
    constrained: bool = True,
    optimised: Task | None = None,
    **options: Any,
) -> tuple[Report, ...]:
    """Evaluate a model once for each number of few-shot examples, and once held to the schema or the choices.

    A model that may write anything can fail every row for the form of its answers alone, although it knows the content.
    The answers that are held to the form show what tuning adds beyond the form. :func:`ftkit.compare` takes all reports
    and compares with the best:

    .. code-block:: python

        base = ft.baselines(ft.Model("local:smollm2-135m", task), test, examples=train)
        print(ft.compare(base, ft.evaluate(run.model, test)))

    Args:
        model: the model before tuning.
        data: the held-out rows.
        examples: rows to take examples from, e.g. the training split.
        shots: numbers of examples, one for each report; 0 is the plain prompt.
        constrained: whether to ask once more without examples, held to the output's schema or choices. Text outputs
            have none.
        optimised: the same task with other instructions and examples, such as that of :func:`ftkit.optimise_prompt`.
            Its report is the last. Compare it with ``ft.compare(…, other_prompts=True)``.
        options: as for :func:`ftkit.evaluate`. A ``label`` is the start of the reports' labels. Baselines are not
            probed unless ``probes`` is given.

    Returns:
        One report for each number, then the constrained one, then that of the optimised prompt. Tokens of the
        examples count in its usage and cost.

    Raises:
        ConfigError: ``shots`` is empty, ``optimised`` has another template or output, or as for
            :func:`ftkit.evaluate`.
    """
    check_model(model)
    check_kind(shots, Sequence, "shots", "the numbers of examples to compare, e.g. (0, 4)")
    if not shots:
        raise ConfigError("shots: name at least one number of examples, e.g. (0, 4)")
    if optimised is not None:
        check_other_prompt(optimised, model.task)
    label = options.pop("label", None) or model.name
    options = {"probes": None, **options}
    reports = [
        evaluate(model, data, shots=count, examples=examples, label=f"{label}, {_examples_text(count)}", **options)
        for count in shots
    ]
    if constrained and not isinstance(model.task.output, TextOutput):
        sampling = (options.get("sampling") or model.sampling).model_copy(update={"constrained": True})
        held = {**options, "sampling": sampling}
        reports.append(evaluate(model, data, label=f"{label}, held to the form", **held))
    if optimised is not None:
        asked = ModelWithTask(model, optimised)
        reports.append(evaluate(asked, data.with_task(optimised), label=f"{label}, optimised prompt", **options))
    return tuple(reports)


def check_other_prompt(optimised: Task, task: Task) -> None:
    """Check that a task differs from another in its prompt alone.

    Args:
        optimised: the task with the other prompt.
        task: the task.

    Raises:
        ConfigError: it is no task, or its input template or output differ.
    """
    check_kind(optimised, Task, "optimised", "the task of ft.optimise_prompt, or ft.Task.from_yaml(path)")
    for name in ("input", "output"):
        if getattr(optimised, name) != getattr(task, name):
            raise ConfigError(
                ErrorText(
                    Argument("optimised", text="optimised"),
                    f" has another {name} than the task, so their answers cannot be compared; only instructions, "
                    "examples and show_schema may differ",
                )
            )


def _examples_text(count: int) -> str:
    return "no examples" if count == 0 else f"{count} {'example' if count == 1 else 'examples'}"
