"""What a run's record holds of its job at a host."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ftkit.backends.hosted.host import JobQuery
from ftkit.backends.hosted.run_key import key_tag
from ftkit.backends.hosted.settling import Boot
from ftkit.errors import RunError
from ftkit.store import RunRecord, RunTransaction, Store, UnreadableRunError

__all__ = ["JobHandle", "UploadedFile", "check_address", "update_handle"]


class UploadedFile(BaseModel):
    """A training file at the host."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    """Its name at the host, which contains a digest of its contents."""
    size: int
    """Bytes."""
    id: str | None = None
    """Its id at the host; None until the host has answered."""
    mine: bool = False
    """Whether this run uploaded it."""
    asked_at: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """When its upload began, in Unix seconds."""
    asked_boot: Boot | None = Field(default=None, exclude_if=lambda value: value is None)
    """The same since the machine's start."""


class JobHandle(BaseModel):
    """What finds a run's job at its host again. Stored in :attr:`~ftkit.store.RunRecord.handle`.

    A run has a handle as soon as it may be submitted, before the first call to the host.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    key: str
    """Unique to the run. The host stores it with the job."""
    phase: Literal["uploading", "creating", "created"] = "uploading"
    """``creating``: a request to create the job may have been sent."""
    url: str | None = None
    """The host's address, without any secret."""
    max_cost: float | None = None
    """The most that training may cost, in US dollars."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """What the user adds to the request that creates the job."""
    files: dict[str, UploadedFile] = Field(default_factory=dict)
    """By role: ``"training"`` and ``"validation"``."""
    asked_at: float | None = None
    """When the job was last requested, in Unix seconds."""
    asked_boot: Boot | None = Field(default=None, exclude_if=lambda value: value is None)
    """The same since the machine's start."""
    requests: int = Field(default=0, exclude_if=lambda value: value == 0)
    """How many requests to create the job were sent."""
    job: str | None = None
    """Id of the job."""
    checked_at: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """When the host was last asked for further jobs of this run: ``asked_at`` and the time that had passed since."""
    duplicates: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Ids of further jobs of this run that were found, and cancelled as far as possible."""
    paused: bool = False
    """Whether the host has paused the job."""
    seen: tuple[str, ...] = ()
    """Ids of the host's events that ftkit 0.1 has stored. Later versions store the id with the event."""

    @property
    def file_suffix(self) -> str:
        """What the names of files end with that only this run's jobs name."""
        return f"-{key_tag(self.key).removeprefix('ftkit-')}"

    @property
    def own_file(self) -> str | None:
        """Id of the training file, if only this run's jobs name it."""
        file = self.files.get("training")
        return None if file is None or f"{self.file_suffix}." not in file.name else file.id

    def query(self, kind: str) -> JobQuery:
        """Return what finds the run's jobs at the host.

        Args:
            kind: kind of the recipe.

        Returns:
            The query.
        """
        return JobQuery(self.key, kind, self.own_file)

    @classmethod
    def of(cls, record: RunRecord) -> JobHandle | None:
        """Read the handle of a run.

        Args:
            record: the run.

        Returns:
            The handle; None if the run was never prepared for submission.
        """
        return cls.require(record) if "key" in record.handle else None

    @classmethod
    def require(cls, record: RunRecord) -> JobHandle:
        """Read the handle of a run that has one.

        Args:
            record: the run.

        Returns:
            The handle.

        Raises:
            UnreadableRunError: it is damaged, or a newer ftkit wrote it.
        """
        try:
            return cls.model_validate(record.handle)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise UnreadableRunError(
                f"what run {record.id} holds of its job at the host cannot be read (handle.{field}: {first['msg']}); "
                f"look at the host for it; `ftkit runs delete {record.id}` deletes the run here"
            ) from error

    def save(self, run: RunTransaction, **changes: Any) -> JobHandle:
        """Store the handle with changes.

        Args:
            run: the transaction in which the handle was read.
            **changes: new values by field.

        Returns:
            The changed handle.
        """
        changed = JobHandle.model_validate(self.model_dump() | changes)
        run.update(handle=changed.model_dump(mode="json"))
        return changed


def update_handle(store: Store, run_id: str, **changes: Any) -> JobHandle:
    """Read, change and store a run's handle in one transaction.

    Args:
        store: the store.
        run_id: id of the run.
        **changes: new values by field.

    Returns:
        The changed handle.
    """
    with store.transaction(run_id) as run:
        return JobHandle.require(run.record).save(run, **changes)


def check_address(record: RunRecord, backend: str, url: str) -> None:
    """Refuse to manage a run whose host is at another address than the backend.

    Args:
        record: the run.
        backend: name of the backend.
        url: its address now.

    Raises:
        RunError: the run was submitted to another address.
    """
    handle = JobHandle.of(record)
    if handle is not None and handle.url is not None and handle.url != url:
        raise RunError(
            f"run {record.id} was submitted to {handle.url}, and the backend {backend!r} is now at {url}; set the "
            "address back to manage the run"
        )
