"""What the store holds of a run: its record and its events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ftkit.printable import public_address

__all__ = ["OPEN_STATES", "Event", "EventKind", "RunRecord", "RunState"]

RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
"""``queued`` and ``running`` are open states; the other three are final."""

OPEN_STATES: tuple[RunState, ...] = ("queued", "running")
"""The states of a run that has not ended."""

Moment = Annotated[float, Field(ge=-6e10, le=2.5e11, allow_inf_nan=False)]
"""Unix seconds that are a date, from the year 68 to 9892."""

EventKind = Literal["state", "step", "validation", "checkpoint", "report", "warning", "log", "error"]


class Event(BaseModel):
    """Something that happened in a run. Kinds and data are the same on every backend.

    - ``state``: ``state``, and ``reason`` where there is one.
    - ``step``: ``step``, ``steps``, ``epoch``, ``loss``, ``learning_rate``, ``grad_norm``, ``tokens``, ``seconds``, …
      Reinforcement fine-tuning adds ``reward``, ``reward_std``, ``reward_parts``, ``no_signal_share``,
      ``completion_length``, ``truncated_share``, ``repetition``, ``entropy``, ``kl``, ``clip_share``,
      ``grader_errors``, ``sampler_difference`` and ``sampler_ratio``, where the backend reports them; where another
      engine samples, ``sampler_difference_max``, ``correction_weight`` and ``correction_limited_share``, too.
    - ``validation``: ``step``, ``loss``, …; for reinforcement fine-tuning ``reward`` and others, and no ``loss``.
    - ``checkpoint``: ``step``, from which the run can be resumed.
    - ``report``: an evaluation of the run's model: ``label``, ``primary``, ``metrics`` (values by name), ``rows``,
      ``data`` (the fingerprint of the rows), ``digest`` (of the report).
    - ``warning``, ``log``, ``error``: ``message``, and details.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    seq: int
    """Number of the event. Rises in the order in which the store received events."""
    at: Moment
    """Time of the event in Unix seconds."""
    kind: EventKind
    data: dict[str, Any] = Field(default_factory=dict)


class RunRecord(BaseModel):
    """A run as the store holds it. It never contains a secret."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    name: str | None = None
    """A name of the user's own, which several runs may share."""
    tags: tuple[str, ...] = ()
    notes: str | None = None
    backend: str
    """Name of the backend, e.g. ``"local"``."""
    model: Annotated[str, AfterValidator(public_address)]
    """The base model, under its name on the backend. An address in it has no password, also where a run of version 0.1
    stored one."""
    state: RunState = "queued"
    created_at: Moment
    """Unix seconds."""
    finished_at: Moment | None = None
    recipe: dict[str, Any]
    """The dumped recipe, as the user wrote it."""
    task: dict[str, Any]
    """The dumped task."""
    answer_class: str | None = None
    """The class of its answers, as ``package.module:Visit``; None where they are plain values, or unknown."""
    rows: int
    data_fingerprint: str
    handle: dict[str, Any] = Field(default_factory=dict)
    """What the backend needs to find its job: a process id or a job id. Each backend has its own fields; those of
    hosted backends are :class:`~ftkit.backends.hosted.job_handle.JobHandle`."""
    summary: dict[str, Any] = Field(default_factory=dict)
    """The results of a run that succeeded."""
    error: str | None = None
    """Why the run failed, in one sentence."""
