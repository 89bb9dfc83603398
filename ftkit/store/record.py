"""What is known of a run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["OPEN_STATES", "Event", "EventKind", "RunRecord", "RunState"]

RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
"""``queued`` and ``running`` go on; the other three are final."""

OPEN_STATES: tuple[RunState, ...] = ("queued", "running")

EventKind = Literal["state", "step", "validation", "checkpoint", "warning", "log", "error"]


class Event(BaseModel):
    """Something that happened in a run. The same on every backend.

    Kinds and their data:

    - ``state``: ``state``, and ``reason`` when it is not plain.
    - ``step``: ``step``, ``steps``, ``epoch``, ``loss``, ``learning_rate``, ``grad_norm``, ``tokens``, ``seconds``, …
      Of reinforcement also ``reward``, ``reward_std``, ``reward_parts``, ``no_signal_share``, ``completion_length``,
      ``truncated_share``, ``repetition``, ``entropy``, ``kl``, ``clip_share``, ``grader_errors``,
      ``sampler_difference``, ``sampler_ratio``, as far as the place says them.
    - ``validation``: ``step``, ``loss``, …; of reinforcement ``reward`` and more, and no ``loss``.
    - ``checkpoint``: ``step``, from which the run could now go on.
    - ``warning``, ``log``, ``error``: ``message``, and what belongs to it.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    seq: int
    """Number of the event, rising in the order of the store."""
    at: float
    """When, in Unix seconds."""
    kind: EventKind
    data: dict[str, Any] = Field(default_factory=dict)


class RunRecord(BaseModel):
    """A run as the store holds it. Never holds a secret."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    backend: str
    """Name of the backend, e.g. ``"local"``."""
    model: str
    """The base model, as the backend calls it."""
    state: RunState = "queued"
    created_at: float
    """Unix seconds."""
    finished_at: float | None = None
    recipe: dict[str, Any]
    """The dumped recipe, as the user wrote it."""
    task: dict[str, Any]
    """The dumped task."""
    rows: int
    data_fingerprint: str
    handle: dict[str, Any] = Field(default_factory=dict)
    """What the backend needs to find its job again: a process, a job id."""
    summary: dict[str, Any] = Field(default_factory=dict)
    """What came out, once it succeeded."""
    error: str | None = None
    """Why it failed, in a sentence."""
