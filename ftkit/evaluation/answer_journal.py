"""Answers on disk while an evaluation runs, so that an interrupted evaluation is not paid twice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from ftkit.backends import Answer, Request, Sampling
from ftkit.files import canonical_digest, home, says_disk_full
from ftkit.results.json_values import canonical, plain
from ftkit.store import StoreWarning

__all__ = ["Journal", "KeptAnswers"]


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
    """A file of answers in ftkit's home, named by a hash of what determines them: model, sampling, requests.

    Each answer is one line, written when it arrives. Failed requests are not kept, so that they are sent again. On exit
    without an error the file is deleted, because the answers are then in a report; but not if requests failed, so that
    the same evaluation asks only for those again and pays for no answer twice. Where it cannot be written, as on a
    full disk, a warning says so, and the evaluation goes on.

    Args:
        model: the model's name.
        about: the model's description.
        requests: all requests of the evaluation.
        sampling: how answers are sampled.
    """

    def __init__(self, model: str, about: dict[str, Any], requests: Sequence[Request], sampling: Sampling) -> None:
        contents = [[request.messages, request.tools] for request in requests]
        # "observed" facts appear only after the first answer, so they cannot identify the model.
        known = {name: value for name, value in about.items() if name != "observed"}
        key = canonical_digest(canonical(plain([model, known, sampling.model_dump(), contents])))
        folder = home() / "evaluations"
        self._writable = True
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            self._give_up(error)
        self._path = folder / f"{key.removeprefix('sha256:')[:32]}.jsonl"
        self.batch = self._path.with_suffix(".batch")
        """Folder for the ids of batches at the host."""
        self.earlier_s = 0.0
        """Seconds that interrupted evaluations took until their last answer; known after :meth:`known`."""
        self._count = len(requests)
        self._session, self._started = secrets.token_hex(4), time.perf_counter()
        self._failed: set[int] = set()
        self._lock = threading.Lock()
        self._file: IO[str] | None = None

    def known(self) -> dict[int, Answer]:
        """Load the answers of an interrupted evaluation.

        Returns:
            Answers by the index of their request.
        """
        answers: dict[int, Answer] = {}
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")
        except OSError:
            return answers
        seconds: dict[str, float] = {}
        for line in lines:
            try:
                index, fields, *timing = json.loads(line)
                if 0 <= index < self._count:
                    answers[index] = Answer(**fields)
                if timing:  # version 0.1 wrote none
                    session, elapsed = timing[0]
                    seconds[str(session)] = max(seconds.get(str(session), 0.0), float(elapsed))
            except (ValueError, TypeError):  # the line being written when the power failed
                continue
        self.earlier_s = sum(seconds.values())
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
            elapsed = round(time.perf_counter() - self._started, 3)
            try:
                self._write(json.dumps([index, fields, [self._session, elapsed]], ensure_ascii=False))
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
        """Close the file, and delete it if no error occurred and every request has an answer."""
        with self._lock:
            if self._file is not None:
                with contextlib.suppress(OSError):  # it writes what is left
                    self._file.close()
                self._file = None
            if kind is None and not self._failed:
                with contextlib.suppress(OSError):
                    self._path.unlink(missing_ok=True)
                shutil.rmtree(self.batch, ignore_errors=True)
