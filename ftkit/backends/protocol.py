"""What a place that trains and answers must offer. Small on purpose: everything else is built on top."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ftkit.backends.answer import Answerer
from ftkit.data import Dataset
from ftkit.files import write_atomically
from ftkit.recipe import Recipe
from ftkit.results.plan import Estimate
from ftkit.store import RunRecord, Store
from ftkit.task import Task

__all__ = ["Backend", "TrainingJob"]


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train, under the id of a run that the store knows already."""

    run_id: str
    recipe: Recipe
    data: Dataset
    validation: Dataset | None
    max_cost: float | None = None
    """The most that it may cost, in US dollars, for places that say a price only when they have the rows."""

    def save(self, folder: Path, **more: Any) -> None:
        """Write ``job.json`` into the run's ``folder``: recipe, whence its rows can be read again, and ``more``."""
        folder.mkdir(parents=True, exist_ok=True)
        spec = {
            **more,
            "recipe": self.recipe.model_dump(mode="json"),
            "data": self.data.to_spec(folder / "data"),
            "validation": None if self.validation is None else self.validation.to_spec(folder / "validation"),
        }
        write_atomically(folder / "job.json", json.dumps(spec, ensure_ascii=False))


@runtime_checkable
class Backend(Protocol):
    """A place that trains and answers, bound to one model there."""

    name: str
    """The backend's name, the part before the colon of ``"local:smollm2-135m"``."""
    model: str
    """The model's name there, the part after it."""

    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        """Refuse what this place cannot honour, before anything is started or paid.

        Raises:
            RefusedError: names the fields of the recipe.
            MissingExtraError, ModelError, DataError: what else can be known beforehand.
        """
        ...

    def estimate(
        self, recipe: Recipe, data: Dataset, validation: Dataset | None, *, device: str | None = None
    ) -> Estimate:
        """What the run would take here, before anything is started.

        Args:
            device: a GPU to plan for in the place of this machine; places that choose their own ignore it.

        Raises:
            RefusedError: this place makes no estimates, or cannot honour the recipe.
            MissingExtraError, ModelError, DataError: as for :meth:`check`.
        """
        ...

    def submit(self, job: TrainingJob, store: Store) -> None:
        """Start the job and leave in the run's ``handle`` what is needed to find it again."""
        ...

    def resume(self, record: RunRecord, store: Store) -> None:
        """Go on with a job that was stopped or has died, from where it can; the run is ``queued`` again.

        Raises:
            RunError: this place cannot.
        """
        ...

    def refresh(self, record: RunRecord, store: Store) -> None:
        """Bring the store up to date with what has become of the job."""
        ...

    def cancel(self, record: RunRecord, store: Store) -> None:
        """End the job; the run is ``cancelled`` afterwards unless it ended before."""
        ...

    def tuned_model(self, record: RunRecord, store: Store) -> str:
        """Name, on this backend, of the model that a succeeded run made."""
        ...

    def answerer(self) -> Answerer:
        """The model, ready to be asked. Loads lazily; made once and shared by all who ask."""
        ...

    def known_task(self) -> Task | None:
        """The task this model was tuned for, when this place knows it."""
        ...
