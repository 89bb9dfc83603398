"""Baselines for a tuned model: the base model, zero-shot and few-shot, answering freely and held to the schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.arguments import check_kind
from ftkit.data import Dataset
from ftkit.errors import ConfigError
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.request_runner import EvaluableModel, check_model
from ftkit.results.report import Report
from ftkit.schema import TextOutput

__all__ = ["baselines"]


def baselines(
    model: EvaluableModel,
    data: Dataset,
    *,
    examples: Dataset,
    shots: Sequence[int] = (0, 4),
    constrained: bool = True,
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
        options: as for :func:`ftkit.evaluate`. A ``label`` is the start of the reports' labels. Baselines are not
            probed unless ``probes`` is given.

    Returns:
        One report for each number, then the constrained one. Tokens of the examples count in its usage and cost.

    Raises:
        ConfigError: ``shots`` is empty, or as for :func:`ftkit.evaluate`.
    """
    check_model(model)
    check_kind(shots, Sequence, "shots", "the numbers of examples to compare, e.g. (0, 4)")
    if not shots:
        raise ConfigError("shots: name at least one number of examples, e.g. (0, 4)")
    label = options.pop("label", None) or model.name
    options = {"probes": None, **options}
    reports = [
        evaluate(model, data, shots=count, examples=examples, label=f"{label}, {_examples_text(count)}", **options)
        for count in shots
    ]
    if constrained and not isinstance(model.task.output, TextOutput):
        sampling = (options.pop("sampling", None) or model.sampling).model_copy(update={"constrained": True})
        reports.append(evaluate(model, data, sampling=sampling, label=f"{label}, held to the form", **options))
    return tuple(reports)


def _examples_text(count: int) -> str:
    return "no examples" if count == 0 else f"{count} {'example' if count == 1 else 'examples'}"
