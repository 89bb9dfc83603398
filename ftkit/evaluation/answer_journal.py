"""Answers on disk while an evaluation runs, so that an interrupted evaluation is not paid twice."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import itertools
import json
import os
import secrets
import shutil
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from ftkit.backends import Answer, Request, Sampling
from ftkit.evaluation.model_identity import model_identity
from ftkit.files import canonical_digest, home, says_disk_full
from ftkit.results.json_values import canonical, plain
from ftkit.results.resources import ReusedAnswers
from ftkit.store import StoreWarning
from ftkit.store.run_lock import RunLock

__all__ = ["Journal", "KeptAnswers", "answers_kept"]

_ended: contextvars.ContextVar[list[Journal] | None] = contextvars.ContextVar("ftkit_ended_journals", default=None)
"""Journals whose evaluation has ended, and whose answers :func:`answers_kept` keeps; None outside of it."""


@contextlib.contextmanager
def answers_kept() -> Iterator[None]:
    """Keep the answers of evaluations on disk until the block ends without an error.

    A process that is killed in the block has the kept answers or what the block has written, at every moment. Inside
    another such block the other one keeps them.

    Yields:
        Nothing, while answers are kept.
    """
    if _ended.get() is not None:
        yield
        return
    ended: list[Journal] = []
    token = _ended.set(ended)
    complete = False
    try:
        yield
        complete = True
    finally:
        _ended.reset(token)
        for journal in ended:
            journal.close(delete=complete)


class KeptAnswers(Protocol):
    """Answers that are kept on disk while others are asked."""

    batch: Path
    """Folder for the ids of batches at the host."""

    def known(self) -> dict[int, Answer]:
        """Load the answers that are there already.

        Returns:
            Answers by the index of their request.
        """
        ...

    def add(self, index: int, answer: Answer) -> None:
        """Keep an answer.

        Args:
            index: index of the request.
            answer: the answer.
        """
        ...


class Journal:
    """A file of answers, named by a hash of what determines them: model, sampling, requests. One process writes it.

    Each answer is one line, written when it arrives. Failed requests are not kept, so that they are sent again. On exit
    without an error the file is deleted, because the answers are then in a report; but not if requests failed, so that
    the same evaluation asks only for those again and pays for no answer twice. Inside :func:`answers_kept` it is
    deleted when that block ends. Where it cannot be written, as on a full disk, a warning says so, and the evaluation
    goes on.

    An evaluation that runs at the same time as another one of the same hash keeps its answers in a file of its own: it
    takes none of the other's, and the other's end deletes none of its own.

    Args:
        model: the model's name.
        about: the model's description.
        requests: all requests of the evaluation.
        sampling: how answers are sampled.
        folder: where the file is; by default ftkit's home, where any evaluation finds it.
    """

    def __init__(
        self,
        model: str,
        about: dict[str, Any],
        requests: Sequence[Request],
        sampling: Sampling,
        folder: Path | None = None,
    ) -> None:
        contents = [[request.messages, request.tools, _output(request)] for request in requests]
        key = canonical_digest(canonical(plain([model, model_identity(about), sampling.model_dump(), contents])))
        self._name = key.removeprefix("sha256:")[:32]
        self._folder = home() / "evaluations" if folder is None else folder
        self._writable = True
        self._lock_on_file: RunLock | None = None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path, self._lock_on_file = self._locked()
        except OSError as error:
            self._path = self._folder / f"{self._name}.jsonl"
            self._give_up(error)
        self.batch = self._folder / f"{self._name}.batch"
        """Folder for the ids of batches at the host: one for all who ask the same, so that none is sent twice."""
        self.earlier_s = 0.0
        """Seconds that interrupted evaluations took until their last answer; known after :meth:`known`."""
        self.reused: ReusedAnswers | None = None
        """Which answers are those of interrupted evaluations; known after :meth:`known`."""
        self._count = len(requests)
        self._session, self._started = secrets.token_hex(4), time.perf_counter()
        self._failed: set[int] = set()
        self._lock = threading.Lock()
        self._file: IO[str] | None = None

    def _locked(self) -> tuple[Path, RunLock]:
        """The first file of this name that no other process works on, locked: one that is there, else a new one."""
        there = sorted(self._folder.glob(f"{self._name}*.jsonl"), key=lambda path: (len(path.name), path.name))
        numbered = (
            self._folder / (f"{self._name}.jsonl" if number == 1 else f"{self._name}-{number}.jsonl")
            for number in itertools.count(1)
        )
        for path in itertools.chain(there, numbered):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            lock = RunLock.acquire(self._folder, path.name)
            if lock is None:
                continue
            if lock.handle is None or _is_at(path, lock.handle):
                return path, lock
            lock.close()  # its owner deleted it meanwhile
        raise AssertionError("unreachable: numbers do not end")

    def known(self) -> dict[int, Answer]:
        """Load the answers of an interrupted evaluation.

        Returns:
            Answers by the index of their request.
        """
        answers: dict[int, Answer] = {}
        try:
            lines = self._path.read_bytes().split(b"\n")
        except OSError:
            return answers
        seconds: dict[str, float] = {}
        times: list[float] = []
        for line in lines:
            try:
                index, fields, *timing = json.loads(line)
                if type(index) is int and 0 <= index < self._count:
                    answers[index] = Answer(**fields)
                if timing:  # version 0.1 wrote none
                    session, elapsed, *at = timing[0]
                    seconds[str(session)] = max(seconds.get(str(session), 0.0), float(elapsed))
                    times += map(float, at)
            except (ValueError, TypeError):  # the line being written when the power failed
                continue
        self.earlier_s = sum(seconds.values())
        if answers:
            first, last = (_time(function(times)) for function in (min, max)) if times else (None, None)
            self.reused = ReusedAnswers(count=len(answers), first_at=first, last_at=last)
        return answers

    def add(self, index: int, answer: Answer) -> None:
        """Write an answer to disk, unless its request failed.

        Args:
            index: index of the request.
            answer: the answer.
        """
        if answer.finish_reason == "error":
            self._failed.add(index)
            return
        self._failed.discard(index)
        fields = plain(dataclasses.asdict(answer))
        with self._lock:
            if not self._writable:
                return
            timing = [self._session, round(time.perf_counter() - self._started, 3), round(time.time(), 3)]
            try:
                self._write(json.dumps([index, fields, timing], ensure_ascii=False))
            except OSError as error:
                self._give_up(error)

    def _write(self, line: str) -> None:
        if self._file is None:
            # A line break first: the last line of a killed evaluation may have none.
            self._file = os.fdopen(
                os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a", encoding="utf-8"
            )
            self._file.write("\n")
        self._file.write(line + "\n")
        self._file.flush()

    def _give_up(self, error: OSError) -> None:
        """The answers so far may be paid, and the report can still be saved elsewhere."""
        self._writable = False
        reason = "the disk is full" if says_disk_full(error) else error.strerror
        warnings.warn(
            f"{error.filename or home()}: {reason}. If the evaluation is interrupted, its next answers are lost",
            StoreWarning,
            stacklevel=3,
        )

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """End the evaluation: delete the file if no error occurred and every request has an answer."""
        ended = _ended.get()
        if kind is None and ended is not None:
            ended.append(self)
        else:
            self.close(delete=kind is None)

    def close(self, *, delete: bool) -> None:
        """Close the file.

        Args:
            delete: whether to delete it, if every request has an answer. It is also deleted if it has no answer.
        """
        with self._lock:
            if self._file is not None:
                with contextlib.suppress(OSError):  # it writes what is left
                    self._file.close()
                self._file = None
            with contextlib.suppress(OSError):
                if delete and not self._failed:
                    self._path.unlink(missing_ok=True)
                    shutil.rmtree(self.batch, ignore_errors=True)
                elif self._path.stat().st_size == 0:
                    self._path.unlink(missing_ok=True)
            if self._lock_on_file is not None:
                self._lock_on_file.close()
                self._lock_on_file = None


def _output(request: Request) -> Any:
    """What an answer that is held to a schema depends on, beside the prompt."""
    return None if request.output is None else request.output.model_dump(mode="json")


def _is_at(path: Path, handle: int) -> bool:
    """Whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
