"""What is known of a sweep, in a folder that survives the process: its trials, their runs and their reports."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ftkit.errors import ConfigError, FtkitError, RunError
from ftkit.files import canonical_digest, home, write_atomically
from ftkit.recipe import Recipe, field_values
from ftkit.results.json_values import canonical, plain
from ftkit.results.report import Report
from ftkit.store.run_lock import RunLock

__all__ = ["SweepFolder", "Trial", "make_trials", "option_digest"]

_STATE, _LOCK = "sweep.json", "sweep.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,49}")


class Trial(BaseModel):
    """One recipe on one backend."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    number: int
    """From 1."""
    run: str
    """Id of its run."""
    backend: str
    label: str
    """The fields in which it differs from the others."""
    fields: dict[str, Any]
    """The same fields by name."""
    recipe: dict[str, Any]
    problem: str | None = None
    """Why it has no report."""
    evaluated_with: str | None = None
    """Digest of the test rows and of the options with which its report was made."""


class SweepState(BaseModel):
    """A sweep."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["ftkit.sweep"] = "ftkit.sweep"
    schema_version: Literal[1] = 1
    settings: str
    """Digest of the recipes, the backends and the rows. The same sweep has the same one."""
    trials: list[Trial]


class SweepFolder:
    """The folder of a sweep. One process works on it at a time.

    Args:
        path: the folder.
        state: what is known of the sweep.
    """

    def __init__(self, path: Path, state: SweepState) -> None:
        self.path, self.state = path, state

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.path.name

    @classmethod
    @contextlib.contextmanager
    def opened(cls, name: str | None, settings: Mapping[str, Any], trials: Sequence[Trial]) -> Iterator[Self]:
        """Open a sweep, or begin it, and lock it.

        Args:
            name: its name; derived from ``settings`` by default.
            settings: what determines the runs.
            trials: its trials, if it begins; their runs get the sweep's name.

        Yields:
            The folder.

        Raises:
            ConfigError: the name is not valid, or belongs to a sweep with other settings.
            RunError: another process works on it, or its state cannot be read.
        """
        digest = canonical_digest(canonical(plain(settings)))
        if name is not None and not _NAME.fullmatch(name):
            raise ConfigError(f"name {name!r} is no name for a sweep: letters, digits and -, at most 50")
        path = home() / "sweeps" / (name or f"sweep-{digest.removeprefix('sha256:')[:8]}")
        lock = RunLock.acquire(path, _LOCK)
        if lock is None:
            raise RunError(f"another process works on the sweep {path.name}; wait until it ends")
        try:
            folder = cls(path, _load(path / _STATE) or SweepState(settings=digest, trials=_named(trials, path.name)))
            if folder.state.settings != digest:
                raise ConfigError(
                    f"the sweep {path.name} was begun with other recipes, backends or rows; give it another name, or "
                    f"delete {path}"
                )
            folder.save()
            yield folder
        finally:
            lock.close()

    def save(self) -> None:
        """Write the state."""
        write_atomically(self.path / _STATE, self.state.model_dump_json(indent=1) + "\n")

    def report(self, trial: Trial, evaluated_with: str) -> Report | None:
        """Load the report of a trial.

        Args:
            trial: the trial.
            evaluated_with: digest of the test rows and of the options.

        Returns:
            The report; None if there is none with these rows and options.
        """
        if trial.evaluated_with != evaluated_with:
            return None
        try:
            return Report.load(self._report_file(trial))
        except FtkitError:  # it was deleted or damaged, so the model is asked again
            return None

    def add_report(self, trial: Trial, report: Report, evaluated_with: str) -> None:
        """Keep the report of a trial.

        Args:
            trial: the trial.
            report: its report.
            evaluated_with: digest of the test rows and of the options.
        """
        report.save(self._report_file(trial))
        trial.evaluated_with, trial.problem = evaluated_with, None
        self.save()

    def set_problem(self, trial: Trial, problem: str) -> None:
        """Note why a trial has no report.

        Args:
            trial: the trial.
            problem: the reason.
        """
        trial.problem = problem
        self.save()

    def _report_file(self, trial: Trial) -> Path:
        return self.path / f"trial-{trial.number}.json"


def make_trials(recipes: Sequence[Recipe], backends: Sequence[str]) -> list[Trial]:
    """Make a trial of each recipe on each backend.

    Args:
        recipes: the recipes.
        backends: names of the backends.

    Returns:
        The trials, without names of runs.

    Raises:
        ConfigError: two trials are the same.
    """
    fields = [field_values(recipe) for recipe in recipes]
    names = list(dict.fromkeys(name for one in fields for name in one))
    varied = [name for name in names if len({canonical(plain(one.get(name))) for one in fields}) > 1]
    trials: list[Trial] = []
    seen: set[str] = set()
    for recipe, one in zip(recipes, fields, strict=True):
        for backend in backends:
            own = {name: one.get(name) for name in varied}
            if len(backends) > 1:
                own["backend"] = backend
            label = " ".join(f"{name.rpartition('.')[2]}={_short(value)}" for name, value in own.items())
            key = f"{recipe.fingerprint} {backend}"
            if key in seen:
                raise ConfigError(f"the sweep has a trial twice: {label or 'the same recipe'} on {backend}")
            seen.add(key)
            trials.append(
                Trial(
                    number=len(trials) + 1,
                    run="",
                    backend=backend,
                    label=label or f"{recipe.kind} on {backend}",
                    fields=own,
                    recipe=recipe.model_dump(mode="json"),
                )
            )
    return trials


def option_digest(test_fingerprint: str, options: Mapping[str, Any]) -> str:
    """Compute what identifies an evaluation: its rows and its options.

    Args:
        test_fingerprint: fingerprint of the rows.
        options: options of :func:`ftkit.evaluate`.

    Returns:
        A digest. The same function or object of the user's own in another process has the same one.
    """
    return canonical_digest(canonical(plain([test_fingerprint, {name: _told(one) for name, one in options.items()}])))


def _told(value: Any) -> Any:
    if hasattr(value, "fingerprint"):
        return value.fingerprint
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _told(one) for name, one in value.items()}
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return value if isinstance(value, str | int | float | bool) or value is None else type(value).__qualname__


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _named(trials: Sequence[Trial], sweep: str) -> list[Trial]:
    width = len(str(len(trials)))
    return [trial.model_copy(update={"run": f"{sweep}-{trial.number:0{width}d}"}) for trial in trials]


def _load(path: Path) -> SweepState | None:
    try:
        return SweepState.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"the sweep in {path} cannot be read: {reason}; delete its folder to begin again") from None
