"""A run on an object store that the cluster and its submitter reach. What it holds is that of a shared folder.

Objects cannot grow, so events are written in parts with rising numbers. The nodes train in a folder of their own: what
a worker needs is fetched before, each checkpoint is copied to the store when it is whole, and the model at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from typing_extensions import override

from ftkit.backends.ray.object_store import ObjectStore
from ftkit.backends.ray.run_files import RunFiles, Workspace
from ftkit.errors import HostError, ModelError, RunError
from ftkit.files import folder_aside, replace_folder
from ftkit.modeling.artefact_digests import check_digests
from ftkit.modeling.model_source import RECORD
from ftkit.training.sample_log import SAMPLES

__all__ = ["RunObjects", "node_folder"]

_FLUSH_S = 1.0
_ASK_S = 2.0
_PART = 1_000_000
"""A place among the events is the number of a part times this, plus the number of an event in it."""


def node_folder() -> Path:
    """Return the folder in which a node keeps what it fetches from object stores.

    Returns:
        A folder of this user below the temporary one.

    Raises:
        RunError: another user has taken its name.
    """
    folder = Path(tempfile.gettempdir()) / f"ftkit-ray-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise RunError(f"{folder} belongs to another user of this machine; set TMPDIR to another folder")
    return folder


class RunObjects(RunFiles):
    """See :class:`~ftkit.backends.ray.run_files.RunFiles`.

    Args:
        storage: the store's address.
        run_id: id of the run.
    """

    def __init__(self, storage: str, run_id: str) -> None:
        self._store = ObjectStore(storage)
        self._run = f"runs/{run_id}"
        self._run_id = run_id
        self._lines: list[bytes] = []
        self._part: int | None = None
        self._flushed = self._asked = float("-inf")
        self._stop = False
        self._workspace: Workspace | None = None
        self._samples: tuple[int, int] | None = None

    @override
    def check(self) -> None:
        self._store.check()

    @override
    def write_job(self, job: dict[str, Any]) -> None:
        self._write("described.json", job)

    @override
    def job(self) -> dict[str, Any]:
        content = self._store.read(f"{self._run}/described.json")
        if content is None:
            raise HostError(f"the description of run {self._run_id} is gone from the storage")
        try:
            described: dict[str, Any] = json.loads(content)
        except ValueError:
            raise HostError(f"the description of run {self._run_id} on the storage is damaged: it is no JSON") from None
        return described

    @override
    def has_job(self) -> bool:
        return self._store.exists(f"{self._run}/described.json")

    @override
    @contextlib.contextmanager
    def locked(self, here: Path) -> Iterator[None]:
        with FileLock(here / "send.lock"):  # who submits a run again has the same store of runs
            yield

    @override
    def keep(self, file: Path, digest: str) -> None:
        name = f"{self._run}/received/{digest}"
        if not self._store.exists(name):
            self._store.put(file, name)

    @override
    def write_result(self, name: str, content: bytes) -> None:
        self._store.write(f"{self._run}/results/{name}", content)

    @override
    def read_result(self, name: str, most: int) -> bytes:
        content = self._store.read(f"{self._run}/results/{name}", most)
        if content is None:
            raise HostError(f"results/{name} of {self._run_id} is gone from the storage", passing=True)
        return content

    @override
    def append(self, kind: str, data: dict[str, Any]) -> None:
        self._lines.append(json.dumps({"at": time.time(), "kind": kind, "data": data}).encode() + b"\n")
        if kind == "step" and time.monotonic() - self._flushed < _FLUSH_S:
            return
        try:
            if kind == "checkpoint":
                self._copy_checkpoints()
            self._flush()
        except HostError as error:  # of the network: what is left is written with the next event
            self._flushed = time.monotonic()
            if kind == "checkpoint":
                said = {"message": f"the checkpoint is not on the storage yet: {error}"}
                self._lines.append(json.dumps({"at": time.time(), "kind": "warning", "data": said}).encode() + b"\n")

    def _flush(self) -> None:
        if self._part is None:
            numbers = [int(name[:8]) for name in self._store.sizes(f"{self._run}/events") if name[:8].isdigit()]
            self._part = 1 + max(numbers, default=-1)
        while self._lines:
            page = self._lines[:10_000]
            self._store.write(f"{self._run}/events/{self._part:08d}", b"".join(page))
            self._part += 1
            del self._lines[: len(page)]
        samples = None if self._workspace is None else self._workspace.output.with_name(SAMPLES)
        if samples is not None and samples.is_file():
            state = samples.stat()
            if (known := (state.st_size, state.st_mtime_ns)) != self._samples:
                self._store.put(samples, f"{self._run}/{SAMPLES}")
                self._samples = known
        self._flushed = time.monotonic()

    def _copy_checkpoints(self) -> None:
        """Make the store's checkpoints those of this worker. What says that one is complete comes last."""
        assert self._workspace is not None  # noqa: S101  (a worker trains there)
        folder, name = self._workspace.checkpoints, f"{self._run}/checkpoints"
        here = {
            file.relative_to(folder).as_posix(): file.stat().st_size
            for file in folder.rglob("*")
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        }
        there = self._store.sizes(name)
        for each in sorted(here, key=lambda file: (file.endswith("COMPLETE"), file)):
            if there.get(each) != here[each]:
                self._store.put(folder / each, f"{name}/{each}")
        for each in there:
            if each not in here:
                self._store.delete(f"{name}/{each}")

    @override
    def events(self, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
        part, seen = divmod(start, _PART)
        while (content := self._store.read(f"{self._run}/events/{part:08d}")) is not None:
            lines = content.splitlines()
            for number in range(seen, len(lines)):
                with contextlib.suppress(ValueError):
                    yield part * _PART + number + 1, json.loads(lines[number])
            part, seen = part + 1, 0

    @override
    def finish(self, **ended: Any) -> None:
        with contextlib.suppress(HostError):
            self._flush()
        self._write("end.json", ended)
        if ended["state"] == "succeeded":  # the checkpoints are not needed any more
            with contextlib.suppress(HostError):
                self._store.delete(f"{self._run}/checkpoints")

    @override
    def ended(self) -> dict[str, Any] | None:
        return self._read("end.json")

    @override
    def begin(self) -> None:
        for name in ("end.json", "stop", "began"):
            self._store.delete(f"{self._run}/{name}")

    @override
    def say_begun(self) -> None:
        self._write("began", {})

    @override
    def has_begun(self) -> bool:
        return self._store.exists(f"{self._run}/began")

    @override
    def ask_to_stop(self) -> None:
        self._write("stop", {})

    @override
    def is_asked_to_stop(self) -> bool:
        now = time.monotonic()
        if not self._stop and now - self._asked > _ASK_S:
            self._asked = now
            with contextlib.suppress(HostError):
                self._stop = self._store.exists(f"{self._run}/stop")
        return self._stop

    @override
    def copy_samples(self, here: Path, *, whole: bool) -> None:
        content = self._store.read(f"{self._run}/{SAMPLES}")
        if content is not None:
            here.write_bytes(content)

    @override
    def has_model(self) -> bool:
        return self._store.exists(f"{self._run}/model/{RECORD}")

    @override
    def fetch_model(self, folder: Path) -> None:
        with folder_aside(folder) as aside:
            self._store.fetch(f"{self._run}/model", aside)
            try:
                check_digests(aside)
            except ModelError as error:
                raise ModelError(f"the model of run {self._run_id} on the storage is damaged: {error}") from None
            replace_folder(aside, folder)

    @override
    def local_model(self, cache: Path) -> Path | None:
        folder = cache / self._run_id
        try:
            record = self._store.read(f"{self._run}/model/{RECORD}")
        except HostError:
            if folder.is_dir():  # the model needs no store to answer
                return folder
            raise
        if record is None:
            return None
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{self._run_id}.lock"):
            held = folder / RECORD
            if not held.is_file() or held.read_bytes() != record:  # another run had the same id
                self.fetch_model(folder)
        return folder

    @override
    def delete(self) -> None:
        for name in (self._run, f"ray/{self._run_id}"):
            self._store.delete(name)

    @override
    @contextlib.contextmanager
    def workspace(self, *, first: bool) -> Iterator[Workspace]:
        parent = node_folder() / "runs" / self._run_id
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in parent.parent.glob("*/*"):  # of workers that were killed
            if left.name.isdigit() and not Path(f"/proc/{left.name}").exists() and Path("/proc").exists():
                shutil.rmtree(left, ignore_errors=True)
        folder = parent / str(os.getpid())
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        self._workspace = Workspace(folder / "model", folder / "received", folder / "home")
        try:
            self._store.fetch(f"{self._run}/received", self._workspace.received)
            if first:
                self._store.fetch(f"{self._run}/checkpoints", self._workspace.checkpoints)
            yield self._workspace
            if first and self._workspace.output.is_dir():
                self._store.put(self._workspace.output, f"{self._run}/model")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @override
    def ray_storage(self) -> dict[str, Any]:
        files, root = self._store.arrow()
        return {"storage_filesystem": files, "storage_path": f"{root}/ray"}

    def _write(self, name: str, value: dict[str, Any]) -> None:
        self._store.write(f"{self._run}/{name}", json.dumps(value).encode())

    def _read(self, name: str) -> dict[str, Any] | None:
        content = self._store.read(f"{self._run}/{name}")
        if content is None:
            return None
        with contextlib.suppress(ValueError):
            value: dict[str, Any] = json.loads(content)
            return value
        return None
