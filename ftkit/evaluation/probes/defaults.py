"""What is probed when nobody says what."""

from __future__ import annotations

from typing import Any

from ftkit.backends import backend_of
from ftkit.backends.hosted import HostedBackend
from ftkit.errors import ConfigError
from ftkit.evaluation.probes.general import CATEGORIES, general_set
from ftkit.evaluation.probes.probes import Probes
from ftkit.evaluation.provenance import run_that_made
from ftkit.evaluation.request_runner import Answering
from ftkit.model import Model

__all__ = ["usual_probes"]

_TRAIN_ROWS = Probes.model_fields["train_rows"].default


def usual_probes(model: Answering, limit: int | None = None) -> Probes | None:
    """The general set; and of a model that this machine's store knows to be tuned, its base and its training rows.

    ``None`` for what is no :class:`ftkit.Model`: other objects may answer nothing but their own task.

    Args:
        limit: how many rows are asked, when not all: then no more questions of the general set, but as many of each of
            its categories, and no more training rows.
    """
    if not isinstance(model, Model):
        return None
    fewer: dict[str, Any] = {}
    if limit is not None:
        most = len(general_set())
        balanced = max(1, round(limit / len(CATEGORIES))) * len(CATEGORIES)
        fewer = {"general": True if limit >= most else min(balanced, most), "train_rows": min(limit, _TRAIN_ROWS)}
    run = run_that_made(model.name)
    if run is None:
        return Probes(**fewer)
    try:
        where = backend_of(f"{run.record.backend}:{run.record.model}")
        if isinstance(where, HostedBackend):
            where.key()
        base = Model(where, model.task, sampling=model.sampling, other_task=True)
    except ConfigError:  # a backend that is plugged in no longer, or whose key is not in the environment
        base = None
    return Probes(train=run.training_data(), base=base, **fewer)
