"""The probes of ``probes="auto"``."""

from __future__ import annotations

from typing import Any

from ftkit.backends import backend_of
from ftkit.backends.hosted.backend import HostedBackend
from ftkit.errors import ConfigError
from ftkit.evaluation.probes.general import CATEGORIES, general_set
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.provenance import run_that_made
from ftkit.evaluation.request_runner import EvaluableModel
from ftkit.model import Model

__all__ = ["default_probes"]

_TRAIN_ROWS = Probes.model_fields["train_rows"].default


def default_probes(model: EvaluableModel, limit: int | None = None) -> Probes | None:
    """Choose the probes for a model: the general set and, for a model whose run is known, its base and training rows.

    Args:
        model: the model.
        limit: number of rows that the evaluation asks, if not all. The probes then shrink with it: about as many
            general questions, the same number from each category, and at most as many training rows.

    Returns:
        The probes; None for objects that are not a :class:`ftkit.Model`, which may answer only their own task.
    """
    if not isinstance(model, Model):
        return None
    sizes: dict[str, Any] = {}
    if limit is not None:
        total = len(general_set())
        balanced = max(1, round(limit / len(CATEGORIES))) * len(CATEGORIES)
        sizes = {"general": True if limit >= total else min(balanced, total), "train_rows": min(limit, _TRAIN_ROWS)}
    run = run_that_made(model.name)
    if run is None:
        return Probes(**sizes)
    try:
        backend = backend_of(f"{run.record.backend}:{run.record.model}")
        if isinstance(backend, HostedBackend):
            backend.key()
        base = Model(backend, model.task, sampling=model.sampling, other_task=True)
    except ConfigError:  # the backend's package is not installed any more, or its key is not in the environment
        base = None
    return Probes(train=run.training_data(), base=base, **sizes)
