"""Answers on disk by what was asked, so that a search that was interrupted pays for no answer twice."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ftkit.backends import Answer, Request, Sampling
from ftkit.errors import StorageError
from ftkit.evaluation.model_identity import model_identity
from ftkit.evaluation.request_runner import EvaluableModel
from ftkit.files import canonical_digest, says_disk_full
from ftkit.results.json_values import canonical, plain

__all__ = ["AnswerStore", "KeptView"]

_FILE = "answers.jsonl"


class AnswerStore:
    """A file of answers, each under a hash of the model, the sampling and the request that it answers.

    Which answers a search needs follows from its seed and from earlier answers. So a search that starts again takes
    the same way, and finds every answer here that it was given before.

    Args:
        folder: the folder of the file.

    Raises:
        StorageError: the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
            self._file: IO[str] = os.fdopen(handle, "a", encoding="utf-8")
            for line in self._path.read_text(encoding="utf-8", errors="replace").split("\n"):
                self._read(line)
            self._file.write("\n")  # the last line of a killed search may have no end
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror or error}", full=says_disk_full(error)) from None

    def _read(self, line: str) -> None:
        try:
            key, fields = json.loads(line)
            self._answers[str(key)] = Answer(**fields)
        except (ValueError, TypeError):  # the line that was being written when the process was killed
            return

    def keys(self, model: EvaluableModel, requests: Sequence[Request], sampling: Sampling) -> list[str]:
        """Hash what is asked.

        Args:
            model: the model that answers.
            requests: the requests.
            sampling: how answers are sampled.

        Returns:
            One hash for each request, in order.
        """
        # "observed" facts appear only after the first answer, so they cannot identify the model.
        about = model_identity(plain(model.about()))
        same = canonical(plain([model.name, about, sampling.model_dump()]))
        return [canonical_digest(canonical(plain([same, _content(request)]))) for request in requests]

    def get(self, key: str) -> Answer | None:
        """Return a kept answer.

        Args:
            key: hash of what was asked.

        Returns:
            The answer; None if there is none.
        """
        return self._answers.get(key)

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer. Answers of failed requests are not kept, so that they are asked again.

        Args:
            key: hash of what was asked.
            answer: the answer.

        Raises:
            StorageError: it cannot be written, e.g. because the disk is full. The search must not go on paying.
        """
        if answer.finish_reason == "error":
            return
        line = json.dumps([key, plain(dataclasses.asdict(answer))], ensure_ascii=False)
        with self._lock:
            self._answers[key] = answer
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as error:
                message = f"{self._path}: {error.strerror or error}"
                raise StorageError(message, full=says_disk_full(error)) from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


class KeptView:
    """The kept answers of some requests, by their position.

    Args:
        store: where they are kept.
        keys: hashes of what is asked, in order.
    """

    def __init__(self, store: AnswerStore, keys: Sequence[str]) -> None:
        self._store, self.keys = store, keys
        self.batch = Path()  # a search sends no batches

    def known(self) -> dict[int, Answer]:
        """Load the answers that are there already.

        Returns:
            Answers by the index of their request.
        """
        found = {index: self._store.get(key) for index, key in enumerate(self.keys)}
        return {index: answer for index, answer in found.items() if answer is not None}

    def add(self, index: int, answer: Answer) -> None:
        """Keep an answer.

        Args:
            index: index of the request.
            answer: the answer.
        """
        self._store.put(self.keys[index], answer)


def _content(request: Request) -> list[Any]:
    output = None if request.output is None else request.output.model_dump(mode="json")
    return [request.messages, request.tools, output]
