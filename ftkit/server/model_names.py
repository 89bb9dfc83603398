"""Resolve model names: configured models, aliases, fine-tuned models and their checkpoints."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

from ftkit.backends.local import LocalBackend
from ftkit.catalog import load_catalog
from ftkit.errors import ConfigError, ModelError
from ftkit.modeling.model_source import find_source
from ftkit.server.errors import ApiError
from ftkit.server.settings import Settings
from ftkit.server.state import State

__all__ = ["ModelNames", "ResolvedModel", "epoch_model"]

_CHECKPOINT = re.compile(r"(ft:.+):ckpt-step-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that clients can use.

    Attributes:
        name: the client's name for it.
        base: the base model, as ``ftkit.modeling.model_source.find_source`` takes it.
        adapter: folder of the adapter, if any.
        owned_by: ``"ftkit"`` for configured models, else the organization.
        created: Unix seconds.
    """

    name: str
    base: str
    adapter: Path | None
    owned_by: str
    created: int

    @property
    def source(self) -> str:
        """The local backend's name for the model with its adapter."""
        return self.base if self.adapter is None else str(self.adapter)


class ModelNames:
    """The names of a server's models.

    Args:
        settings: the configured models and aliases.
        state: the server's tables, with the jobs that trained models.

    Raises:
        ConfigError: a configured model does not exist.
    """

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings, self._state = settings, state
        self._started = int(time.time())
        for name, source in settings.models.items():
            try:
                find_source(LocalBackend(source).source_name())
            except ModelError as error:
                raise ConfigError(f"models: {name}: {error}") from None

    def resolve(self, name: str, project: str) -> ResolvedModel:
        """Return the model with a name.

        Args:
            name: name of a model, an alias, a fine-tuned model or a checkpoint.
            project: the project that must own a fine-tuned model.

        Returns:
            The model.

        Raises:
            ApiError: 404 if there is no such model.
        """
        model = self._configured(name) or self._tuned(name, project)
        if model is None:
            message = f"The model {name!r} does not exist or you do not have access to it."
            raise ApiError(404, message, param="model", code="model_not_found")
        return model

    def all(self, project: str) -> list[ResolvedModel]:
        """List configured models, aliases and a project's fine-tuned models. Checkpoints are not listed.

        Args:
            project: the project.

        Returns:
            The models.
        """
        names = [*self._settings.models, *self._settings.aliases]
        listed = (self._configured(name) for name in names)
        tuned = (self._tuned(name, project) for name in self._tuned_names(project))
        return [model for model in (*listed, *tuned) if model is not None]

    def canonical(self, name: str) -> str | None:
        """Return the configured name or alias of a model that the catalogue lists under several names.

        Args:
            name: a model's name.

        Returns:
            A name of the settings; ``None`` if there is none.
        """
        configured = {**self._settings.models, **self._settings.aliases}
        if name in configured:
            return name
        listed = load_catalog().model("openai", name)
        same = () if listed is None or name.startswith("ft:") else (listed.id, *listed.aliases)
        return next((other for other in same if other in configured), None)

    def client_name(self, base: str) -> str:
        """Return the clients' name for a loaded base model, whose own name may be a path of this machine.

        Args:
            base: the loaded model's name.

        Returns:
            The first configured model with this base; ``"other"`` if there is none.
        """
        for name, source in self._settings.models.items():
            with contextlib.suppress(ModelError):
                found = find_source(LocalBackend(source).source_name())
                if base == (found.base_name or found.base):
                    return name
        return "other"

    def _configured(self, name: str) -> ResolvedModel | None:
        configured_name = self.canonical(name)
        if configured_name is None:
            return None
        source = self._settings.models[self._settings.aliases.get(configured_name, configured_name)]
        return self._served(name, LocalBackend(source).source_name(), "ftkit", self._started)

    def tuned(self, name: str, project: str) -> tuple[str, int | None] | None:
        """Find the job that trained a model.

        Args:
            name: name of a fine-tuned model or a checkpoint.
            project: the project that must own it.

        Returns:
            The job's id and the checkpoint's step (``None`` for the final model); ``None`` if there is no such model.
        """
        match = _CHECKPOINT.fullmatch(name)
        tuned_name, step = (match[1], int(match[2])) if match else (name, None)
        with self._state.connection() as connection:
            row = connection.execute(
                "SELECT id FROM jobs WHERE project = ? AND json_extract(record, '$.tuned_name') = ? AND CASE "
                "WHEN ? IS NULL THEN json_extract(record, '$.status') = 'succeeded' "
                "AND NOT json_extract(record, '$.model_deleted') "
                "ELSE EXISTS (SELECT 1 FROM checkpoints WHERE job_id = jobs.id AND step = ?) END",
                (project, tuned_name, step, step),
            ).fetchone()
        return None if row is None else (row[0], step)

    def _tuned(self, name: str, project: str) -> ResolvedModel | None:
        tuned = self.tuned(name, project)
        if tuned is None:
            return None
        job_id, step = tuned
        folder = self._state.store.run_folder(job_id)
        path = folder / "model" if step is None else epoch_model(folder, step)
        if not path.is_dir():  # deleted with `ftkit runs delete`
            return None
        return self._served(name, str(path), self._settings.organization, int(path.stat().st_mtime))

    def _tuned_names(self, project: str) -> list[str]:
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT json_extract(record, '$.tuned_name') FROM jobs "
                "WHERE project = ? AND json_extract(record, '$.status') = 'succeeded' ORDER BY seq",
                (project,),
            ).fetchall()
        return [row[0] for row in rows]

    @staticmethod
    def _served(name: str, model: str, owned_by: str, created: int) -> ResolvedModel:
        try:
            source = find_source(model)
        except ModelError as error:
            raise ApiError(503, f"The model {name!r} cannot be used: {error}", "server_error") from None
        base = source.base_name if source.adapter is not None else model
        return ResolvedModel(name, base or source.base, source.adapter, owned_by, created)


def epoch_model(run_folder: Path, step: int) -> Path:
    """Return the folder of a checkpoint's model; see :class:`ftkit.backends.local.LocalBackend`.

    Args:
        run_folder: the run's folder.
        step: the checkpoint's step.

    Returns:
        The folder.
    """
    return run_folder / "epochs" / f"step-{step:06d}"
