"""A run in a folder that the cluster and its submitter see under the same path."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from typing_extensions import override

from ftkit.backends.ray.json_lines import JsonLines
from ftkit.backends.ray.object_store import is_address
from ftkit.backends.ray.run_files import RunFiles, Workspace
from ftkit.backends.ray.run_objects import RunObjects
from ftkit.backends.ray.shared_files import keep_file
from ftkit.errors import HostError, RunError
from ftkit.files import create_folder, folder_aside, remove_folder, replace_folder, write_atomically
from ftkit.training.sample_log import SAMPLES

__all__ = ["RunFolder", "run_files"]


def run_files(storage: str, run_id: str) -> RunFiles:
    """Open the files of a run.

    Args:
        storage: a shared folder, or the address of an object store.
        run_id: id of the run.

    Returns:
        The files.
    """
    return RunObjects(storage, run_id) if is_address(storage) else RunFolder(storage, run_id)


class RunFolder(RunFiles):
    """See :class:`~ftkit.backends.ray.run_files.RunFiles`.

    Args:
        storage: the shared folder.
        run_id: id of the run.
    """

    def __init__(self, storage: str, run_id: str) -> None:
        self._storage = Path(storage)
        self.path = self._storage / "runs" / run_id
        self.received = self._storage / "received"
        self.model = self.path / "model"
        self._events = JsonLines(self.path / "events.jsonl")
        self._end = self.path / "end.json"
        self._stop = self.path / "stop"
        self._began = self.path / "began"

    @override
    def check(self) -> None:
        if not self._storage.is_dir():
            raise RunError(
                f"ray: the storage {self._storage} is not there; mount it on this machine under the same path"
            )

    @override
    def write_job(self, job: dict[str, Any]) -> None:
        create_folder(self.path)
        write_atomically(self.path / "described.json", json.dumps(job))

    @override
    def job(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.path / "described.json").read_text(encoding="utf-8"))
        return described

    @override
    def has_job(self) -> bool:
        return (self.path / "described.json").is_file()

    @override
    @contextlib.contextmanager
    def locked(self, here: Path) -> Iterator[None]:
        create_folder(self.path)
        with FileLock(self.path / "submit.lock"):
            yield

    @override
    def keep(self, file: Path, digest: str) -> None:
        keep_file(file, self.received / digest)

    @override
    def write_result(self, name: str, content: bytes) -> None:
        create_folder(self.path / "results")
        write_atomically(self.path / "results" / name, content)

    @override
    def read_result(self, name: str, most: int) -> bytes:
        file = self.path / "results" / name
        try:
            with file.open("rb") as opened:
                content = opened.read(most + 1)
        except OSError as error:
            raise HostError(f"{file} cannot be read: {error.strerror or error}", passing=True) from None
        if len(content) > most:
            raise HostError(f"{file} is larger than {most:,} bytes")
        return content

    @override
    def append(self, kind: str, data: dict[str, Any]) -> None:
        self._events.append({"at": time.time(), "kind": kind, "data": data})

    @override
    def events(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        return self._events.read(start)

    @override
    def finish(self, **ended: Any) -> None:
        write_atomically(self._end, json.dumps(ended))

    @override
    def ended(self) -> dict[str, Any] | None:
        try:
            ended: dict[str, Any] = json.loads(self._end.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return ended

    @override
    def begin(self) -> None:
        for file in (self._end, self._stop, self._began):
            file.unlink(missing_ok=True)

    @override
    def say_begun(self) -> None:
        self._began.touch()

    @override
    def has_begun(self) -> bool:
        return self._began.exists()

    @override
    def ask_to_stop(self) -> None:
        self._stop.touch()

    @override
    def is_asked_to_stop(self) -> bool:
        return self._stop.exists()

    @override
    def copy_samples(self, here: Path, *, whole: bool) -> None:
        with contextlib.suppress(OSError):
            if whole:
                shutil.copyfile(self.path / SAMPLES, here)
                return
            with (self.path / SAMPLES).open("rb") as content, here.open("ab") as copied:
                if content.seek(0, os.SEEK_END) < copied.tell():
                    copied.truncate(0)  # a resumed run has written it anew
                content.seek(copied.tell())
                shutil.copyfileobj(content, copied)

    @override
    def has_model(self) -> bool:
        return self.model.is_dir()

    @override
    def fetch_model(self, folder: Path) -> None:
        with folder_aside(folder) as aside:
            shutil.copytree(self.model, aside, dirs_exist_ok=True)
            replace_folder(aside, folder)

    @override
    def local_model(self, cache: Path) -> Path | None:
        return self.model if self.model.is_dir() else None

    @override
    def delete(self) -> None:
        for folder in (self.path, self._storage / "ray" / self.path.name):
            remove_folder(folder)

    @override
    @contextlib.contextmanager
    def workspace(self, *, first: bool) -> Iterator[Workspace]:
        yield Workspace(self.model, self.received, self._storage / "home")

    @override
    def ray_storage(self) -> dict[str, Any]:
        return {"storage_path": f"{self._storage}/ray"}
