"""Baselines for a tuned model: the base model, zero-shot and few-shot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.data import Dataset
from ftkit.errors import ConfigError
from ftkit.evaluation.evaluator import evaluate
from ftkit.evaluation.request_runner import EvaluableModel, check_model
from ftkit.results.report import Report
from ftkit.type_checks import check_kind

__all__ = ["baselines"]


def baselines(
    model: EvaluableModel, data: Dataset, *, examples: Dataset, shots: Sequence[int] = (0, 4), **options: Any
) -> tuple[Report, ...]:
    """Evaluate a model once for each number of few-shot examples.

    .. code-block:: python

        zero, few = ft.baselines(ft.Model("local:smollm2-135m", task), test, examples=train)

    Args:
        model: the model before tuning.
        data: the held-out rows.
        examples: rows to take examples from, e.g. the training split.
        shots: numbers of examples, one for each report; 0 is the plain prompt.
        options: as for :func:`ftkit.evaluate`. A ``label`` is the start of the reports' labels.

    Returns:
        One report for each number. Tokens of the examples count in its usage and cost.

    Raises:
        ConfigError: ``shots`` is empty, or as for :func:`ftkit.evaluate`.
    """
    check_model(model)
    check_kind(shots, Sequence, "shots", "the numbers of examples to compare, e.g. (0, 4)")
    if not shots:
        raise ConfigError("shots: name at least one number of examples, e.g. (0, 4)")
    label = options.pop("label", None) or model.name
    return tuple(
        evaluate(model, data, shots=count, examples=examples, label=f"{label}, {_examples_text(count)}", **options)
        for count in shots
    )


def _examples_text(count: int) -> str:
    return "no examples" if count == 0 else f"{count} {'example' if count == 1 else 'examples'}"
