"""A run's files at its host: uploaded once, found by their contents, deleted when no run needs them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from ftkit.backends.hosted.concurrency import ConcurrencyLimiter
from ftkit.backends.hosted.host import Host, RemoteFile
from ftkit.backends.hosted.idempotency import create_once, search_until_settled
from ftkit.backends.hosted.job_handle import JobHandle, UploadedFile, update_handle
from ftkit.backends.hosted.retry import RetryPolicy
from ftkit.data import Dataset
from ftkit.data.writers import OpenAIForm
from ftkit.errors import HostError
from ftkit.files import write_atomically
from ftkit.store import OPEN_STATES, RunRecord, Store

__all__ = ["TrainingFiles", "write_rows"]

_POLL_S = 1.0
_MAX_WAIT_S = 1800.0
_ROLES = ("training", "validation")


def write_rows(data: Dataset, path: Path, form: OpenAIForm | None, *, byte_order_mark: bool) -> None:
    """Write rows in the format in which they are uploaded.

    Args:
        data: the rows.
        path: the file.
        form: OpenAI's form of the rows, if it is not the usual one of their kind.
        byte_order_mark: whether the file begins with a byte order mark.
    """
    data.write_openai(path, form=form)
    if byte_order_mark:
        write_atomically(path, b"\xef\xbb\xbf" + path.read_bytes())


class TrainingFiles:
    """Uploads and deletes the files of runs at one host. A run's handle lists its files.

    Args:
        host: the host.
        name: name of the backend.
        retry_policy: how failing calls are retried.
        limiter: how many files are uploaded at the same time.
        store: the store of runs.
        own_files: whether each run has files of its own, instead of sharing those with the same rows.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        retry_policy: RetryPolicy,
        limiter: ConcurrencyLimiter,
        store: Store,
        *,
        own_files: bool = False,
    ) -> None:
        self._host, self._name, self._retry_policy = host, name, retry_policy
        self._limiter, self._store, self._own_files = limiter, store, own_files

    def with_policy(self, retry_policy: RetryPolicy) -> TrainingFiles:
        """Return the same with another retry policy.

        Args:
            retry_policy: how failing calls are retried.

        Returns:
            The files.
        """
        return TrainingFiles(
            self._host, self._name, retry_policy, self._limiter, self._store, own_files=self._own_files
        )

    def upload_all(self, record: RunRecord) -> dict[str, str]:
        """Upload the files of a run, unless the host has them already, and wait until a job may name them.

        Args:
            record: the run.

        Returns:
            Ids of the files by role, ``"training"`` and ``"validation"``.

        Raises:
            HostError: the host refused a file. Those that were uploaded for the run are deleted.
        """
        folder = self._store.run_folder(record.id)
        paths = {role: path for role in _ROLES if (path := folder / f"{role}.jsonl").is_file()}
        roles = list(paths)
        try:
            ids = self._limiter.map(
                lambda index: self._upload(record.id, roles[index], paths[roles[index]]), len(roles)
            )
        except HostError:
            self.delete_all(self._store.get(record.id))
            raise
        return dict(zip(roles, ids, strict=True))

    def _upload(self, run_id: str, role: str, path: Path) -> str:
        """The id of the file with these contents: that of an earlier upload or of a new one."""
        handle, policy = JobHandle.require(self._store.get(run_id)), self._retry_policy
        name = f"ftkit-{_digest(path)}{handle.file_suffix if self._own_files else ''}.jsonl"
        entry = handle.files.get(role) or UploadedFile(name=name, size=path.stat().st_size)
        find = functools.partial(self._host.find_file, entry.name, entry.size)

        def upload() -> RemoteFile:
            nonlocal entry
            entry = entry.model_copy(update={"mine": True, "asked_at": policy.clock(), "asked_boot": policy.boot()})
            # Stored before the call, so that an upload whose response is lost is known to be this run's.
            self._save(run_id, role, entry)
            return self._host.upload(path, entry.name)

        repeatable = "file" in self._host.repeatable
        if entry.asked_at is None or entry.id is not None or repeatable:
            file = policy(find)
        else:  # an upload was interrupted
            unsettled_s = policy.unsettled_s(entry.asked_at, entry.asked_boot)
            file = search_until_settled(policy, find, unsettled_s).found
        file = file or create_once(policy, upload, find, repeatable=repeatable)
        if file is None:
            raise HostError(
                f"{self._name}: the host did not confirm the training file, and cannot be asked for it now; start again"
            )
        self._save(run_id, role, entry.model_copy(update={"id": file.id}))
        return self._wait_until_ready(file)

    def _save(self, run_id: str, role: str, entry: UploadedFile) -> None:
        with self._store.transaction(run_id) as run:
            handle = JobHandle.require(run.record)
            handle.save(run, files=handle.files | {role: entry})

    def _wait_until_ready(self, file: RemoteFile) -> str:
        waited = 0.0
        while not file.ready and file.problem is None:
            if waited > _MAX_WAIT_S:
                raise HostError(f"{self._name}: file {file.id} was not ready after {_MAX_WAIT_S:.0f} s")
            self._retry_policy.sleep(_POLL_S)
            waited += _POLL_S
            file = self._retry_policy(functools.partial(self._host.file, file.id))
        if file.problem is not None:
            raise HostError(
                f"{self._name}: the host refused the training file: {file.problem}. Fix the rows (`ftkit lint`) and "
                "start again"
            )
        return file.id

    def delete_all(self, record: RunRecord) -> None:
        """Delete the files that a run uploaded, unless another open run names them.

        An upload whose response got lost may still appear. It stays with the run, and is found if the run is resumed.

        Args:
            record: the run.
        """
        in_use = {
            file.name
            for other in self._store.all()
            if other.id != record.id and other.backend == self._name and other.state in OPEN_STATES
            for file in _files(other)
        }
        unsettled: dict[str, UploadedFile] = {}
        for role, file in JobHandle.require(record).files.items():
            if file.mine and file.name not in in_use:
                try:
                    if not self._retry_policy(functools.partial(self._delete, file)):
                        unsettled[role] = file
                except HostError as error:
                    if error.status != 404:
                        message = f"file {file.name} was not deleted at the host: {error}"
                        self._store.append(record.id, "warning", {"message": message})
        update_handle(self._store, record.id, files=unsettled)

    def _delete(self, file: UploadedFile) -> bool:
        """Delete a file; returns False if it is not there and may still appear."""
        file_id = file.id
        if file_id is None:  # the response of the upload was lost
            existing = self._host.find_file(file.name, file.size)
            file_id = None if existing is None else existing.id
        if file_id is None:
            return self._retry_policy.unsettled_s(file.asked_at, file.asked_boot) <= 0
        self._host.delete_file(file_id)
        return True


def _files(record: RunRecord) -> Iterable[UploadedFile]:
    handle = JobHandle.of(record)
    return () if handle is None else handle.files.values()


def _digest(path: Path) -> str:
    """A short digest of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:24]
