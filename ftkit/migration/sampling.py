"""How each model of a migration is sampled: options of reasoning are for the models that reason on request."""

from __future__ import annotations

from typing import Any

from ftkit.backends import Backend, Sampling
from ftkit.model import Model
from ftkit.task import Task

__all__ = ["model_to_ask", "without_reasoning"]

_REASONING = {"reasoning_effort", "max_reasoning_tokens"}


def model_to_ask(name: str | Backend, task: Task[Any], sampling: Sampling) -> Model[Any]:
    """Open a model as it is asked.

    A tuned gpt-4.1 and a successor that reasons are compared on the same rows, but only the successor takes an effort.
    So the options of reasoning are left out for a model of which it is known that it does not reason on request. Any
    other option that a model does not take is refused.

    Args:
        name: the model.
        task: the task.
        sampling: how all models are sampled.

    Returns:
        The model.
    """
    model = Model(name, task, sampling=sampling, other_task=True)
    if not _REASONING & sampling.model_fields_set or model.reasons_on_request() is not False:
        return model
    return Model(name, task, sampling=without_reasoning(sampling), other_task=True)


def without_reasoning(sampling: Sampling) -> Sampling:
    """Leave the options of reasoning out.

    Args:
        sampling: the options.

    Returns:
        The others that were written.
    """
    return Sampling(**{name: getattr(sampling, name) for name in sampling.model_fields_set - _REASONING})
