"""The state of a migration on disk, from which the same command goes on after any interruption."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, MigrationError, ReportError
from ftkit.files import remove_unfinished, write_atomically
from ftkit.results.certificate import MarginRecord, file_digest
from ftkit.results.saved_json import load_saved, saved_digest
from ftkit.store.run_lock import RunLock

__all__ = ["CandidateState", "JobState", "MigrationFolder", "MigrationState", "now"]

_STATE = "migration.json"
_LOCK = "migration.lock"
_ANSWERS = "answers"
_NO_OPTIONS = ("source", "sampling")
"""Settings that are no options of the command line."""


def now() -> str:
    """Return the time.

    Returns:
        ISO 8601, UTC, to the second.
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


class JobState(BaseModel):
    """The job that made the model to replace."""

    model_config = ConfigDict(extra="forbid")

    id: str
    base: str
    method: str
    stops: str | None


class CandidateState(BaseModel):
    """How far a candidate has come."""

    model_config = ConfigDict(extra="forbid")

    begun_at: str
    runs: list[str] = []
    """Ids of its training runs; the last is in force. Each is written here before it is started."""
    recipe: dict[str, Any] | None = None
    changes: list[str] = []
    """What was changed in the recipe for this backend."""
    prompt_usd: float | None = None
    """What the search for its prompt cost, in US dollars."""
    asked_at: str | None = None
    """When its evaluation began; from then on the margin is fixed."""
    incomplete: int = 0
    """How often its evaluation ended with rows that failed."""
    report: str | None = None
    """Digest of its report."""
    problem: str | None = None


class MigrationState(BaseModel):
    """Everything that is known of a migration."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["ftkit.migration"] = "ftkit.migration"
    schema_version: Literal[1] = 1
    created_at: str
    settings: dict[str, Any]
    """What determines the answers. The same command must give the same settings."""
    margins: list[MarginRecord]
    model: str | None = None
    """Name of the model to replace."""
    job: JobState | None = None
    files: dict[str, str] = {}
    """Digests of written files, by path below the folder."""
    unanswered: list[int] = []
    """Positions of test rows that the old model could not answer, which are left out."""
    frozen: str | None = None
    """Digest of the report of the old model's answers."""
    candidates: dict[str, CandidateState] = {}


class MigrationFolder:
    """The folder of a migration, with its state. One process works on it at a time.

    Args:
        path: the folder.
        state: its state.
    """

    def __init__(self, path: Path, state: MigrationState) -> None:
        self.path = path
        self.state = state

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, settings: Mapping[str, Any], margin: float) -> Iterator[Self]:
        """Open the folder, or create it, and lock it.

        The margin is written before anything else. It may be changed until the first candidate is asked; the state
        keeps every earlier one.

        Args:
            path: the folder.
            settings: what determines the answers.
            margin: the margin.

        Yields:
            The folder.

        Raises:
            ConfigError: the migration was begun with other settings, or its margin can no longer be changed.
            MigrationError: another process works on the folder, or its state cannot be read.
        """
        lock = RunLock.acquire(path, _LOCK)
        if lock is None:
            raise MigrationError(f"another process works on the migration in {path}; wait until it ends", step="begin")
        try:
            for written in (path, path / "job", *path.glob("candidates/*")):
                remove_unfinished(written)  # of a process that was killed
            if (path / _STATE).exists():
                folder = cls(path, _load(path / _STATE))
                folder._check_settings(settings)
            else:
                first = MigrationState(created_at=now(), settings=dict(settings), margins=[])
                folder = cls(path, first)
            folder._set_margin(margin)
            yield folder
        finally:
            lock.close()

    def save(self) -> None:
        """Write the state, so that nobody sees half of it."""
        content = self.state.model_dump(mode="json")
        digest = saved_digest(content)
        text = json.dumps({**content, "digest": digest}, ensure_ascii=False, indent=1, allow_nan=False)
        write_atomically(self.path / _STATE, text + "\n")

    def candidate(self, name: str) -> CandidateState:
        """Return the state of a candidate, which begins now if it is new.

        Args:
            name: the candidate's name.

        Returns:
            Its state, to be changed and saved.
        """
        if name not in self.state.candidates:
            self.state.candidates[name] = CandidateState(begun_at=now())
            self.save()
        return self.state.candidates[name]

    def add_file(self, path: str) -> None:
        """Note the digest of a written file. The caller saves the state.

        Args:
            path: the file's path below the folder.
        """
        self.state.files[path] = file_digest(self.path / path)

    def answers_of(self, name: str) -> Path:
        """Return where the answers of a model are kept until its report is in the state.

        They are not in ftkit's home, so no other migration and no evaluation takes them for answers to itself.

        Args:
            name: a name of a file: ``frozen``, or a candidate's.

        Returns:
            The folder, which need not exist.
        """
        return self.path / _ANSWERS / name

    def drop_answers(self, name: str) -> None:
        """Delete the kept answers of a model, whose report is in the state.

        Args:
            name: as for :meth:`answers_of`.
        """
        shutil.rmtree(self.answers_of(name), ignore_errors=True)
        with contextlib.suppress(OSError):  # others' answers are in it
            self.answers_of(name).parent.rmdir()

    def check_file(self, path: str) -> Path:
        """Check that a file is as it was written.

        Args:
            path: the file's path below the folder.

        Returns:
            Its whole path.

        Raises:
            MigrationError: it is gone or was changed.
        """
        file = self.path / path
        if not file.is_file():
            raise MigrationError(f"{file} is gone; put it back, or begin again in another folder", step="check")
        if file_digest(file) != self.state.files[path]:
            raise MigrationError(
                f"{file} was changed after it was written; put the original back, or begin again in another folder",
                step="check",
            )
        return file

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            known = self.state.settings.get(name)
            if known != value:
                raise ConfigError(
                    ErrorText(
                        f"the migration in {self.path} was begun on {self.state.created_at[:10]} with another ",
                        *(name if name in _NO_OPTIONS else Argument(name, text=name),),
                        f": {_short(known)}, now {_short(value)}. ",
                        "Give the same again, or choose another folder",
                    )
                )

    def _set_margin(self, margin: float) -> None:
        margins = self.state.margins
        if margins and margins[-1].value == margin:
            return
        asked = min((one.asked_at for one in self.state.candidates.values() if one.asked_at), default=None)
        if asked is not None:
            raise ConfigError(
                ErrorText(
                    *(Argument("margin", text="margin"), f" was {margins[-1].value:g} since {margins[-1].set_at}, "),
                    f"and the first candidate was asked on {asked}. A margin that is chosen after answers were seen "
                    f"proves nothing; give {margins[-1].value:g} again, or choose another folder",
                )
            )
        margins.append(MarginRecord(value=margin, set_at=now()))
        self.save()


def _load(path: Path) -> MigrationState:
    try:
        return load_saved(MigrationState, path, noun="state of a migration", newest=1, kind="ftkit.migration")
    except ReportError as error:
        raise MigrationError(f"{error}. Choose another folder to begin again", step="begin") from None


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}…"
