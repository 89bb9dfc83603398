"""Which model a name stands for: configured ones, aliases, tuned models and their checkpoints."""

from __future__ import annotations

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

__all__ = ["ModelNames", "ServedModel", "epoch_model"]

_CHECKPOINT = re.compile(r"(ft:.+):ckpt-step-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that answers here.

    Attributes:
        name: that the client knows it by.
        base: the base model, as ``ftkit.modeling.model_source.find_source`` takes it.
        adapter: folder of the adapter on top of it, if any.
        owned_by: ``"ftkit"`` for configured models, else the organisation.
        created: Unix seconds.
    """

    name: str
    base: str
    adapter: Path | None
    owned_by: str
    created: int

    @property
    def source(self) -> str:
        """The name under which ftkit's local backend knows the whole."""
        return self.base if self.adapter is None else str(self.adapter)


class ModelNames:
    """The models of a server.

    Args:
        settings: with the configured models and aliases.
        state: with the jobs, and so the tuned models.

    Raises:
        ConfigError: a configured model is not where it should be.
    """

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings, self._state = settings, state
        self._started = int(time.time())
        for name, where in settings.models.items():
            try:
                find_source(LocalBackend(where).source_name())
            except ModelError as error:
                raise ConfigError(f"models: {name}: {error}") from None

    def resolve(self, name: str, project: str) -> ServedModel:
        """The model that ``name`` is for ``project``.

        Raises:
            ApiError: 404, there is none.
        """
        found = self._configured(name) or self._tuned(name, project)
        if found is None:
            message = f"The model {name!r} does not exist or you do not have access to it."
            raise ApiError(404, message, param="model", code="model_not_found")
        return found

    def all(self, project: str) -> list[ServedModel]:
        """Configured models, aliases and the project's tuned models; checkpoints answer too but are not listed."""
        names = [*self._settings.models, *self._settings.aliases]
        listed = (self._configured(name) for name in names)
        tuned = (self._tuned(name, project) for name in self._tuned_names(project))
        return [one for one in (*listed, *tuned) if one is not None]

    def canonical(self, name: str) -> str | None:
        """The configured name or alias that ``name`` is, where the catalogue knows several names of one model."""
        known = {**self._settings.models, **self._settings.aliases}
        if name in known:
            return name
        listed = load_catalog().model("openai", name)
        same = () if listed is None or name.startswith("ft:") else (listed.id, *listed.aliases)
        return next((other for other in same if other in known), None)

    def _configured(self, name: str) -> ServedModel | None:
        known = self.canonical(name)
        if known is None:
            return None
        where = self._settings.models[self._settings.aliases.get(known, known)]
        return self._served(name, LocalBackend(where).source_name(), "ftkit", self._started)

    def tuned(self, name: str, project: str) -> tuple[str, int | None] | None:
        """The job that made a tuned model or checkpoint, and the checkpoint's step; ``None`` when it is neither."""
        at = _CHECKPOINT.fullmatch(name)
        whole, step = (at[1], int(at[2])) if at else (name, None)
        with self._state.connection() as connection:
            row = connection.execute(
                "SELECT id FROM jobs WHERE project = ? AND json_extract(record, '$.tuned_name') = ? AND CASE "
                "WHEN ? IS NULL THEN json_extract(record, '$.status') = 'succeeded' "
                "AND NOT json_extract(record, '$.model_deleted') "
                "ELSE EXISTS (SELECT 1 FROM checkpoints WHERE job_id = jobs.id AND step = ?) END",
                (project, whole, step, step),
            ).fetchone()
        return None if row is None else (row[0], step)

    def _tuned(self, name: str, project: str) -> ServedModel | None:
        found = self.tuned(name, project)
        if found is None:
            return None
        folder = self._state.store.run_folder(found[0])
        where = folder / "model" if found[1] is None else epoch_model(folder, found[1])
        if not where.is_dir():  # deleted with `ftkit runs delete`
            return None
        return self._served(name, str(where), self._settings.organization, int(where.stat().st_mtime))

    def _tuned_names(self, project: str) -> list[str]:
        with self._state.connection() as connection:
            rows = connection.execute(
                "SELECT json_extract(record, '$.tuned_name') FROM jobs "
                "WHERE project = ? AND json_extract(record, '$.status') = 'succeeded' ORDER BY seq",
                (project,),
            ).fetchall()
        return [row[0] for row in rows]

    @staticmethod
    def _served(name: str, where: str, owned_by: str, created: int) -> ServedModel:
        try:
            source = find_source(where)
        except ModelError as error:
            raise ApiError(503, f"The model {name!r} cannot be used: {error}", "server_error") from None
        base = source.base_name if source.adapter is not None else where
        return ServedModel(name, base or source.base, source.adapter, owned_by, created)


def epoch_model(run_folder: Path, step: int) -> Path:
    """Where a run keeps the model of an epoch's end; see :class:`ftkit.backends.local.LocalBackend`."""
    return run_folder / "epochs" / f"step-{step:06d}"
