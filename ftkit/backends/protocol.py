"""The protocol of a backend: train a recipe, and answer with a model. Everything else is built on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ftkit.backends.answer import Answerer
from ftkit.data import Dataset
from ftkit.files import write_atomically
from ftkit.recipe import Recipe, parse_recipe
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
    """The most that it may cost, in US dollars, for hosts that state a price only when they have the rows."""

    def save(self, folder: Path, **more: Any) -> None:
        """Write the job to ``job.json``, from which another process can open the same rows.

        Args:
            folder: the run's folder.
            more: further entries.
        """
        folder.mkdir(parents=True, exist_ok=True)
        spec = {
            **more,
            "recipe": self.recipe.model_dump(mode="json"),
            "data": self.data.to_spec(folder / "data"),
            "validation": None if self.validation is None else self.validation.to_spec(folder / "validation"),
        }
        write_atomically(folder / "job.json", json.dumps(spec, ensure_ascii=False))

    @classmethod
    def saved(cls, record: RunRecord, folder: Path) -> TrainingJob:
        """Open what :meth:`save` wrote.

        Args:
            record: the run.
            folder: its folder.

        Returns:
            The job.
        """
        spec = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        validation = None if spec["validation"] is None else Dataset.from_spec(spec["validation"])
        return cls(record.id, parse_recipe(record.recipe), Dataset.from_spec(spec["data"]), validation)


@runtime_checkable
class Backend(Protocol):
    """A place that trains and answers, bound to one model.

    A backend may also have ``scores(conversations)`` (reward models), ``embeddings(texts)``, ``close()``, which frees
    what the model holds until it is asked again, ``download(record, folder)``, which fetches the model of a run, and
    ``delete_run(record)``, which deletes what it keeps of a run elsewhere. Only a backend that charges for training has
    ``quote(recipe, data, validation)``; where there is none, runs are resumed freely and wait for their turn.
    """

    name: str
    """The backend's name, the part before the colon of ``"local:smollm2-135m"``."""
    model: str
    """The model's name there, the part after it."""

    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        """Refuse what this backend does not support, before anything is started or paid.

        Args:
            recipe: the recipe.
            data: training rows.
            validation: validation rows.

        Raises:
            RefusedError: the backend does not support the recipe; names its fields.
            MissingExtraError, ModelError, DataError: anything else that can be known before the start.
        """
        ...

    def estimate(
        self, recipe: Recipe, data: Dataset, validation: Dataset | None, *, device: str | None = None
    ) -> Estimate:
        """Estimate what a run would take, before anything is started.

        Args:
            recipe: the recipe.
            data: training rows.
            validation: validation rows.
            device: a GPU to plan for instead of this machine; backends that choose their own ignore it.

        Returns:
            Time, memory and cost, as far as the backend knows them.

        Raises:
            RefusedError: the backend makes no estimates, or does not support the recipe.
            MissingExtraError, ModelError, DataError: as for :meth:`check`.
        """
        ...

    def submit(self, job: TrainingJob, store: Store) -> None:
        """Start a job, and store in the run's ``handle`` what is needed to find it again.

        Args:
            job: the job.
            store: where the run is recorded.
        """
        ...

    def resume(self, record: RunRecord, store: Store) -> None:
        """Continue a job that was stopped or has died; the run is ``queued`` again.

        Args:
            record: the run.
            store: where the run is recorded.

        Raises:
            RunError: the backend cannot continue it.
        """
        ...

    def refresh(self, record: RunRecord, store: Store) -> None:
        """Update the store with the job's present state and events.

        Args:
            record: the run.
            store: where the run is recorded.
        """
        ...

    def cancel(self, record: RunRecord, store: Store) -> None:
        """Cancel the job; the run is ``cancelled`` afterwards unless it ended before.

        Args:
            record: the run.
            store: where the run is recorded.
        """
        ...

    def tuned_model(self, record: RunRecord, store: Store) -> str:
        """Name the model that a succeeded run made.

        Args:
            record: the run.
            store: where the run is recorded.

        Returns:
            The model's name on this backend.
        """
        ...

    def answerer(self) -> Answerer:
        """Return the model. Nothing is loaded until it is asked.

        Returns:
            The model.
        """
        ...

    def known_task(self) -> Task | None:
        """Return the task that the model was tuned for.

        Returns:
            The task; None if the backend does not know it.
        """
        ...
