"""A job on its way to the other machine: its description, and the files of its rows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ftkit.backends.ssh.session import Session
from ftkit.backends.ssh.transfer import send_file
from ftkit.data import Dataset
from ftkit.errors import RefusedError
from ftkit.recipe import Recipe, plugin_modules

__all__ = ["ship"]


def ship(session: Session, recipe: Recipe, data: Dataset, validation: Dataset | None) -> dict[str, Any]:
    """Send the files that a job's rows are read from, as far as the machine lacks them, and describe the job.

    The files are sent whole, because a row is known by its file and line.

    Args:
        session: the session with the machine.
        recipe: what to train.
        data: the training rows.
        validation: the validation rows, if any.

    Returns:
        The job for the calls ``check``, ``estimate`` and ``submit``.

    Raises:
        RefusedError: the recipe or the rows need a class that only a module on this machine defines.
    """
    modules = plugin_modules(recipe, data, validation)
    if modules:
        names = ", ".join(module["name"] for module in modules)
        raise RefusedError(
            f"{session.box.destination} does not have the module {names}, which registers a class of the recipe or "
            "of the rows. Make it a package with an entry point (docs/extending.md), and install that in the "
            "interpreter that python= names there",
            backend="ssh",
            fields=("kind",),
        )
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": _ship_rows(session, data),
        "validation": None if validation is None else _ship_rows(session, validation),
    }


def _ship_rows(session: Session, data: Dataset) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ftkit-rows-") as folder:
        spec = data.to_spec(folder)
        for source in spec["sources"]:
            file = Path(source["path"])
            send_file(session, file, source["sha256"])
            source["ending"] = file.suffix
            del source["path"]
        if "file" in spec["rows"]:
            send_file(session, Path(spec["rows"].pop("file")), spec["rows"]["sha256"])
            spec["rows"]["file"] = ""
        # The fingerprint says that the other machine reads the same rows.
        return {**spec, "fingerprint": data.fingerprint}
