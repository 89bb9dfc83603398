"""The baselines that a tuned model has to beat: the base model without and with examples in its prompt."""

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
    """Evaluate ``model`` once for each number of examples, whose tokens are in each report's usage and cost.

        zero, few = ft.baselines(ft.Model("local:smollm2-135m", task), test, examples=train)

    Args:
        model: what answers, before tuning.
        data: the held-out rows.
        examples: rows to take examples from: the training split.
        shots: how many, report by report; 0 is the plain prompt.
        options: as for :func:`ftkit.evaluate`; a ``label`` begins the labels.

    Raises:
        ConfigError: no numbers, or as :func:`ftkit.evaluate` does.
    """
    check_model(model)
    check_kind(shots, Sequence, "shots", "the numbers of examples to compare, e.g. (0, 4)")
    if not shots:
        raise ConfigError("shots: name at least one number of examples, e.g. (0, 4)")
    label = options.pop("label", None) or model.name
    return tuple(
        evaluate(model, data, shots=count, examples=examples, label=f"{label}, {_said(count)}", **options)
        for count in shots
    )


def _said(count: int) -> str:
    return "no examples" if count == 0 else f"{count} {'example' if count == 1 else 'examples'}"
