"""Answers on disk while an evaluation runs, so that one that is cut off is not paid twice."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
from collections.abc import Sequence
from typing import IO, Any

from ftkit.backends import Answer, Request, Sampling
from ftkit.files import canonical_digest, home
from ftkit.results.json_values import canonical, plain

__all__ = ["Journal"]


class Journal:
    """One file in ftkit's home, named after everything that decides an answer: model, sampling, prompts.

    Each answer is one line, written as it comes. Failed ones are not kept, so that they are asked again.
    """

    def __init__(self, model: str, about: dict[str, Any], requests: Sequence[Request], sampling: Sampling) -> None:
        asked = [[request.messages, request.tools] for request in requests]
        # What only shows while it answers would make this another model after the first question.
        known = {name: value for name, value in about.items() if name != "observed"}
        key = canonical_digest(canonical(plain([model, known, sampling.model_dump(), asked])))
        folder = home() / "evaluations"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / f"{key.removeprefix('sha256:')[:32]}.jsonl"
        self.batch = self._path.with_suffix(".batch")
        """Folder for what finds a batch of these questions at a host again."""
        self._count = len(requests)
        self._lock = threading.Lock()
        self._file: IO[str] | None = None

    def known(self) -> dict[int, Answer]:
        """Answers of an evaluation that was cut off, by the request's number."""
        found: dict[int, Answer] = {}
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                index, fields = json.loads(line)
                if 0 <= index < self._count:
                    found[index] = Answer(**fields)
            except (ValueError, TypeError):  # the line that was being written when the power failed
                continue
        return found

    def add(self, index: int, answer: Answer) -> None:
        """Keep the answer to request ``index``."""
        if answer.finish_reason == "error":
            return
        line = json.dumps([index, plain(dataclasses.asdict(answer))], ensure_ascii=False)
        with self._lock:
            if self._file is None:
                # A line break first: the last line of a killed evaluation may have none.
                self._file = os.fdopen(
                    os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a", encoding="utf-8"
                )
                self._file.write("\n")
            self._file.write(line + "\n")
            self._file.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Let go of the file; without an error its answers are in a report, and it goes."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            if kind is None:
                self._path.unlink(missing_ok=True)
                shutil.rmtree(self.batch, ignore_errors=True)
