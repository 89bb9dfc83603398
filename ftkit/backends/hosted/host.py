"""What a hosted training API must offer, in words that are not one host's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ftkit.store import EventKind, RunState

__all__ = ["Host", "Leavings", "Order", "RemoteEvent", "RemoteFile", "RemoteJob"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at the host."""

    id: str
    ready: bool = True
    """Whether a job may name it."""
    problem: str | None = None
    """Why it never will be."""


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job at the host, as it is now."""

    id: str
    state: RunState
    status: str
    """The host's own word for the state."""
    tuned_model: str | None = None
    error: str | None = None
    trained_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """Something the host says happened."""

    id: str
    """The same each time the event is read."""
    kind: EventKind
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Leavings:
    """What a job that succeeded has left besides its model."""

    events: Sequence[RemoteEvent] = ()
    """Of the files it wrote: steps and looks at the validation rows, for hosts whose events do not tell them all."""
    checkpoints: Sequence[dict[str, Any]] = ()
    """``{"step": …, "model": …}``, by step: earlier states that answer under names of their own."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job to be created."""

    key: str
    """Unique to the run; the host keeps it with the job."""
    body: dict[str, Any]
    """The request in the host's form, files named by their ids."""
    kind: str
    """Kind of the recipe: ``"sft"``, ``"dpo"``."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What the user sends along, over the body; empty at hosts whose backend takes none."""


class Host(Protocol):
    """One hosted API. Every method may raise :class:`~ftkit.errors.HostError`, and makes exactly one attempt."""

    url: str
    """Where it is, without any secret."""

    def find_file(self, name: str, size: int) -> RemoteFile | None:
        """The usable file of that name and size, if there is one."""
        ...

    def upload(self, path: Path, name: str) -> RemoteFile: ...

    def file(self, file_id: str) -> RemoteFile: ...

    def delete_file(self, file_id: str) -> None: ...

    def find_job(self, key: str, kind: str) -> RemoteJob | None:
        """The job that carries ``key``, if there is one."""
        ...

    def estimate(self, order: Order) -> float | None:
        """What the job will cost in US dollars by the host's own word; ``None`` where it says nothing.

        Raises:
            HostError: the account may not spend so much.
        """
        ...

    def create_job(self, order: Order) -> RemoteJob: ...

    def job(self, job_id: str) -> RemoteJob: ...

    def events(self, job_id: str, seen: set[str]) -> Sequence[RemoteEvent]:
        """What happened, oldest first; events in ``seen`` may be left out."""
        ...

    def leavings(self, job_id: str) -> Leavings:
        """What a job that succeeded has left."""
        ...

    def cancel(self, job_id: str) -> RemoteJob: ...

    def pause(self, job_id: str) -> RemoteJob:
        """Let a job rest.

        Raises:
            RunError: this host cannot.
        """
        ...

    def resume(self, job_id: str) -> RemoteJob:
        """Go on with a paused job.

        Raises:
            RunError: this host cannot.
        """
        ...
