"""Trackers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ftkit.errors import ConfigError, MissingExtraError
from ftkit.registry import Registry
from ftkit.runs.trackers.protocol import Tracker, check_tracker

__all__ = ["TRACKERS", "check_trackers", "create_tracker"]

TRACKERS: Registry[Callable[..., Tracker]] = Registry(
    "tracker",
    group="ftkit.trackers",
    built_in={
        "jsonl": "ftkit.runs.trackers.jsonl:JsonLinesTracker",
        "trackio": "ftkit.runs.trackers.trackio:TrackioTracker",
        "wandb": "ftkit.runs.trackers.wandb:WandbTracker",
        "mlflow": "ftkit.runs.trackers.mlflow:MlflowTracker",
        "tensorboard": "ftkit.runs.trackers.tensorboard:TensorBoardTracker",
    },
)
"""Trackers: callables that create a :class:`Tracker`, without an argument or from the text after ``"name:"``."""


def create_tracker(spec: str) -> Tracker:
    """Create a registered tracker.

    Args:
        spec: ``"name"`` or ``"name:argument"``, e.g. ``"trackio:visits"`` or ``"jsonl:events.jsonl"``.

    Returns:
        The tracker.

    Raises:
        ConfigError: no tracker has this name, or it cannot be created.
        MissingExtraError: its package is not installed.
    """
    name, colon, argument = spec.partition(":")
    factory = TRACKERS.get(name)
    try:
        tracker = factory(argument) if colon else factory()
    except MissingExtraError:
        raise
    except Exception as error:  # a package's constructor may raise anything
        raise ConfigError(f"the tracker {spec!r} cannot be created: {error}") from error
    check_tracker(tracker, spec)
    return tracker


def check_trackers(specs: Iterable[str]) -> None:
    """Create each tracker once, so that a wrong name is found before anything is started.

    Args:
        specs: the trackers, as for :func:`create_tracker`.

    Raises:
        ConfigError: no tracker has a name, or it cannot be created.
        MissingExtraError: its package is not installed.
    """
    for spec in specs:
        create_tracker(spec)
