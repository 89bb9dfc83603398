"""A run's files at a host: uploaded once, found by their contents, removed when nothing needs them."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from ftkit.backends.hosted.host import Host, RemoteFile
from ftkit.backends.hosted.retry import Patience
from ftkit.data import Dataset
from ftkit.data.writers import OpenAIForm
from ftkit.errors import HostError
from ftkit.files import write_atomically
from ftkit.store import OPEN_STATES, RunRecord, Store

__all__ = ["TrainingFiles", "write_rows"]

_POLL_S = 1.0
_WAIT_S = 1800.0


def write_rows(data: Dataset, path: Path, form: OpenAIForm | None, *, mark: bool) -> None:
    """Write the rows as they are uploaded.

    Args:
        form: of the rows, where it is not the usual one of their kind.
        mark: begin with a byte order mark.
    """
    data.write_openai(path, form=form)
    if mark:
        write_atomically(path, b"\xef\xbb\xbf" + path.read_bytes())


class TrainingFiles:
    """The files of runs at one host. A run's ``handle`` says under ``files`` which it has and which it uploaded.

    Args:
        name: of the backend.
    """

    def __init__(self, host: Host, name: str, patience: Patience, store: Store) -> None:
        self._host, self._name, self._patience, self._store = host, name, patience, store

    def upload_all(self, record: RunRecord) -> dict[str, str]:
        """Ids of a run's files by role, ready for a job to name.

        Raises:
            HostError: one was not taken; those that were uploaded for the run are gone again.
        """
        folder = self._store.run_folder(record.id)
        ids: dict[str, str] = {}
        try:
            for role in ("training", "validation"):
                path = folder / f"{role}.jsonl"
                if path.is_file():
                    ids[role] = self._upload(record.id, role, path)
        except HostError:
            self.remove(self._store.get(record.id))
            raise
        return ids

    def _upload(self, run_id: str, role: str, path: Path) -> str:
        """The id of the file with these contents at the host: that of an earlier upload, or of a new one."""
        held: dict[str, Any] = {
            "id": None,
            "mine": False,
            "name": f"ftkit-{_digest(path)}.jsonl",
            "size": path.stat().st_size,
        }
        held |= self._store.get(run_id).handle.get("files", {}).get(role, {})

        def note() -> None:
            self._note(run_id, self._store.get(run_id).handle.get("files", {}) | {role: dict(held)})

        def once() -> RemoteFile:
            known = self._host.find_file(held["name"], held["size"])
            if known is not None:
                return known
            held["mine"] = True
            note()  # before the call, so that an upload whose answer is lost is still known to be ours
            return self._host.upload(path, held["name"])

        file = self._patience(once)
        held["id"] = file.id
        note()
        return self._ready(file)

    def _ready(self, file: RemoteFile) -> str:
        waited = 0.0
        while not file.ready and file.problem is None:
            if waited > _WAIT_S:
                raise HostError(f"{self._name}: file {file.id} was not ready after {_WAIT_S:.0f} s")
            self._patience.sleep(_POLL_S)
            waited += _POLL_S
            file = self._patience(functools.partial(self._host.file, file.id))
        if file.problem is not None:
            raise HostError(
                f"{self._name}: the host refused the training file: {file.problem}. Mend the rows (`ftkit lint`) and "
                "start again"
            )
        return file.id

    def remove(self, record: RunRecord) -> None:
        """Delete the files this run uploaded, unless another open run names them."""
        files = record.handle.get("files", {})
        used = {
            held["name"]
            for other in self._store.all()
            if other.id != record.id and other.backend == self._name and other.state in OPEN_STATES
            for held in other.handle.get("files", {}).values()
        }
        for held in files.values():
            if held["mine"] and held["name"] not in used:
                try:
                    self._patience(lambda held=held: self._remove(held))  # type: ignore[misc]
                except HostError as error:
                    if error.status != 404:
                        self._store.append(
                            record.id, "warning", {"message": f"file {held['name']} stays at the host: {error}"}
                        )
        self._note(record.id, {})

    def _remove(self, held: dict[str, Any]) -> None:
        file_id = held["id"]
        if file_id is None:  # the upload's answer was lost
            found = self._host.find_file(held["name"], held["size"])
            file_id = None if found is None else found.id
        if file_id is not None:
            self._host.delete_file(file_id)

    def _note(self, run_id: str, files: dict[str, Any]) -> None:
        self._store.update(run_id, handle=self._store.get(run_id).handle | {"files": files})


def _digest(path: Path) -> str:
    """A short name of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:24]
