"""A job on its way to another machine: its description, and the files of its rows, kept there by their content."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftkit.backends.protocol import TrainingJob
from ftkit.data import Dataset
from ftkit.errors import RefusedError, RunError
from ftkit.recipe import Recipe, parse_recipe, plugin_modules
from ftkit.recipe.preserve import GENERAL
from ftkit.training.rehearsal_rows import open_rehearsal

__all__ = ["SendFile", "describe_job", "describe_rows", "open_job", "open_rows"]

SendFile = Callable[[Path, str], None]
"""Sends a file with this SHA-256, unless it is there already."""


def describe_job(
    recipe: Recipe, data: Dataset, validation: Dataset | None, send: SendFile, *, backend: str, machine: str
) -> dict[str, Any]:
    """Send the files that a job's rows are read from, as far as the machine lacks them, and describe the job.

    The files are sent whole, because a row is known by its file and line.

    Args:
        recipe: what to train.
        data: the training rows.
        validation: the validation rows, if any.
        send: sends a file.
        backend: name of the backend, for errors.
        machine: where it goes, for errors.

    Returns:
        The job as plain JSON values, for :func:`open_job`.

    Raises:
        RefusedError: the recipe or the rows need a class that only a module on this machine defines.
    """
    modules = plugin_modules(recipe, data, validation)
    if modules:
        names = ", ".join(module["name"] for module in modules)
        raise RefusedError(
            f"{machine} does not have the module {names}, which registers a class of the recipe or of the rows. Make "
            "it a package with an entry point (docs/extending.md), and install that in the Python environment there",
            backend=backend,
            fields=("kind",),
        )
    preserve = recipe.preserve
    rehearsal = None if preserve is None or preserve.rows == GENERAL else open_rehearsal(preserve)
    rows = {"data": data, "validation": validation, "rehearsal": rehearsal}
    # The fingerprint says that the other machine reads the same rows.
    described = {
        name: None if each is None else {**describe_rows(each, send), "fingerprint": each.fingerprint}
        for name, each in rows.items()
    }
    return {"recipe": recipe.model_dump(mode="json"), **described}


def describe_rows(data: Dataset, send: SendFile) -> dict[str, Any]:
    """Send the files that rows are read from, as far as the machine lacks them, and describe the rows.

    Args:
        data: the rows.
        send: sends a file.

    Returns:
        Plain JSON values, for :func:`open_rows`.
    """
    with tempfile.TemporaryDirectory(prefix="ftkit-rows-") as folder:
        spec = data.to_spec(folder)
        for source in spec["sources"]:
            file = Path(source.pop("path"))
            send(file, source["sha256"])
            source["ending"] = file.suffix
        for part in (spec["rows"], spec["forms"] or {}):
            if "file" in part:
                send(Path(part["file"]), part["sha256"])
                part["file"] = ""
        return spec


def open_job(described: dict[str, Any], run_id: str, received: Path) -> TrainingJob:
    """Open a job on the machine that it was sent to.

    Args:
        described: what :func:`describe_job` returned.
        run_id: id of the run.
        received: the folder of the files that were sent, each named by its SHA-256.

    Returns:
        The job.

    Raises:
        RunError: it has no rows.
    """
    data = open_rows(described["data"], received)
    if data is None:
        raise RunError(f"run {run_id} has no rows")
    recipe = parse_recipe(described["recipe"])
    rehearsal = open_rows(described.get("rehearsal"), received)
    if rehearsal is not None and recipe.preserve is not None:  # the file has another name here
        here = recipe.preserve.model_copy(update={"rows": str(rehearsal.sources[0])})
        recipe = recipe.model_copy(update={"preserve": here})
    return TrainingJob(run_id, recipe, data, open_rows(described["validation"], received))


def open_rows(spec: dict[str, Any] | None, received: Path) -> Dataset | None:
    """Open rows on the machine that they were sent to.

    Each file is linked under its own ending, which says how it is read.

    Args:
        spec: what :func:`describe_rows` returned; None for no rows.
        received: the folder of the files that were sent, each named by its SHA-256.

    Returns:
        The rows; None for none.
    """
    if spec is None:
        return None
    sources = []
    for source in spec["sources"]:
        kept = received / source["sha256"]
        named = kept.with_name(kept.name + source["ending"])
        with contextlib.suppress(FileExistsError):
            os.link(kept, named)
        sources.append({**source, "path": str(named)})
    parts = {
        name: {**spec[name], "file": str(received / spec[name]["sha256"])}
        for name in ("rows", "forms")
        if "file" in (spec.get(name) or {})
    }
    return Dataset.from_spec({**spec, "sources": sources, **parts})
