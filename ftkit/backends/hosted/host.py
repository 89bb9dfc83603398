"""The interface of a hosted fine-tuning API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ftkit.store import EventKind, RunState

__all__ = ["Host", "JobQuery", "JobRequest", "JobResults", "RemoteEvent", "RemoteFile", "RemoteJob"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at the host.

    Attributes:
        id: its id.
        ready: whether a job may name it now.
        problem: why no job will ever be able to name it.
    """

    id: str
    ready: bool = True
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job at the host, as it is now.

    Attributes:
        id: its id.
        state: its state in ftkit's terms.
        status: its state in the host's own word.
        tuned_model: name of the model that it made.
        error: why it failed.
        trained_tokens: tokens that the host charges for.
        cost_usd: what the host charged, in US dollars.
        created_at: when it was created, in Unix seconds.
        lost_key: of a job that was just created: what it lacks of what it should be found by, for a warning.
    """

    id: str
    state: RunState
    status: str
    tuned_model: str | None = None
    error: str | None = None
    trained_tokens: int | None = None
    cost_usd: float | None = None
    created_at: float | None = None
    lost_key: str | None = None


@dataclass(frozen=True, slots=True)
class JobQuery:
    """What the jobs of one run are found by.

    Attributes:
        key: the key of the run.
        kind: kind of the recipe.
        file: id of a training file that only this run's jobs name; None if other runs may name the same file.
    """

    key: str
    kind: str
    file: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """An event of a job that the host reports.

    Attributes:
        id: the same each time the event is read.
        kind: ftkit's kind of event.
        data: its data, see :class:`~ftkit.store.Event`.
    """

    id: str
    kind: EventKind
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobResults:
    """What a job that succeeded made besides its model.

    Attributes:
        events: steps and validation losses from the job's result files, for hosts whose events lack some.
        checkpoints: ``{"step": …, "model": …}`` by step: earlier states of the model, with the names that they answer
            under.
    """

    events: Sequence[RemoteEvent] = ()
    checkpoints: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A request to create a job.

    Attributes:
        key: unique to the run; the host stores it with the job.
        body: the request in the host's format, with files by their ids.
        kind: kind of the recipe, e.g. ``"sft"``.
        extra: what the user adds to the body. Empty where the backend takes nothing of the kind.
        file: id of the training file, if only this run's jobs name it.
    """

    key: str
    body: dict[str, Any]
    kind: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    file: str | None = None


class Host(Protocol):
    """One hosted API.

    Each method makes exactly one attempt and may raise :class:`~ftkit.errors.HostError`.

    Attributes:
        name: its name, which messages begin with.
        url: its address, without any secret.
        secret: its API key, which is removed from everything that it says.
        repeatable: what the host creates once, however often it is asked: because ftkit chooses the name, or by an
            idempotency key.
    """

    name: str
    url: str
    secret: str
    repeatable: frozenset[Literal["file", "job", "batch"]] = frozenset()

    def find_file(self, name: str, size: int) -> RemoteFile | None:
        """Find a usable file.

        Args:
            name: name of the file.
            size: its size in bytes.

        Returns:
            The file, or None.
        """
        ...

    def upload(self, path: Path, name: str) -> RemoteFile:
        """Upload a training file.

        Args:
            path: the file.
            name: its name at the host.

        Returns:
            The file at the host.
        """
        ...

    def file(self, file_id: str) -> RemoteFile:
        """Return a file as it is now.

        Args:
            file_id: its id.

        Returns:
            The file.
        """
        ...

    def delete_file(self, file_id: str) -> None:
        """Delete a file.

        Args:
            file_id: its id.
        """
        ...

    def find_jobs(self, query: JobQuery) -> Sequence[RemoteJob]:
        """Find the jobs that were created with a run's key. There should be one at most.

        Args:
            query: what they are found by.

        Returns:
            The jobs, the one that was created first at the beginning.
        """
        ...

    def estimate_price(self, request: JobRequest) -> float | None:
        """Ask for the price of a job before it is created.

        Args:
            request: the job.

        Returns:
            The price in US dollars; None if the host gives no estimate.
        """
        ...

    def create_job(self, request: JobRequest) -> RemoteJob:
        """Create a job.

        Args:
            request: the job.

        Returns:
            The created job.
        """
        ...

    def job(self, job_id: str) -> RemoteJob:
        """Return a job as it is now.

        Args:
            job_id: its id.

        Returns:
            The job.
        """
        ...

    def events(self, job_id: str, seen: set[str]) -> Sequence[RemoteEvent]:
        """Read the events of a job.

        Args:
            job_id: its id.
            seen: ids of events that are stored already; these may be left out.

        Returns:
            The events, oldest first.
        """
        ...

    def results(self, job_id: str) -> JobResults:
        """Read what a job that succeeded made besides its model.

        Args:
            job_id: its id.

        Returns:
            Steps of its result files, and its checkpoints.
        """
        ...

    def cancel(self, job_id: str) -> RemoteJob:
        """Cancel a job.

        Args:
            job_id: its id.

        Returns:
            The job as it is now.
        """
        ...

    def pause(self, job_id: str) -> RemoteJob:
        """Pause a job.

        Args:
            job_id: its id.

        Returns:
            The job as it is now.
        """
        ...

    def resume(self, job_id: str) -> RemoteJob:
        """Resume a paused job.

        Args:
            job_id: its id.

        Returns:
            The job as it is now.
        """
        ...
