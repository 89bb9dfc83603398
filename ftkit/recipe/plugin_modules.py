"""Modules that another process must import to know what a script registered: recipes, adapters, graders, formats."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from ftkit.data import Dataset
from ftkit.data.formats import FORMATS
from ftkit.data.sources.registry import SOURCES
from ftkit.errors import ConfigError, RefusedError
from ftkit.graders import GRADERS, Grader
from ftkit.recipe.adapters import ADAPTERS
from ftkit.recipe.base import Recipe
from ftkit.recipe.losses import LOSSES
from ftkit.recipe.rollout_engines import ROLLOUTS
from ftkit.registry import Registry

__all__ = ["import_plugin_modules", "plugin_modules"]


def plugin_modules(recipe: Recipe, *datasets: Dataset | None) -> list[dict[str, str]]:
    """List the modules that define the classes of a run, if a script registered them.

    These are the classes of the recipe, its adapter, its rollout engine, its graders and its metric, and of the rows'
    format and file type.

    ftkit's own classes and those of installed packages need no module: every process finds them by name.

    Args:
        recipe: to be trained by another process.
        datasets: the rows that the process reads.

    Returns:
        For each module its ``name``, and the ``folder`` from which it can be imported.

    Raises:
        RefusedError: a class is defined in a script or notebook, which another process cannot import.
    """
    chosen: list[tuple[Registry[Any], str, object, str]] = [
        (LOSSES, recipe.kind, recipe, "kind"),
        (ADAPTERS, recipe.adapter.kind, recipe.adapter, "adapter.kind"),
    ]
    if (engine := recipe.sampled_by) is not None:
        chosen.append((ROLLOUTS, engine.kind, engine, "rollouts"))
    graders = {"grader": recipe.grading and recipe.grading.grader, "eval_metric": recipe.eval_metric}
    for field, grader in graders.items():
        if isinstance(grader, Grader):
            chosen += [(GRADERS, each.type, each, field) for each in _with_parts(grader)]
    if isinstance(recipe.eval_metric, str):
        metrics = resolve_name("ftkit.evaluation.metrics:METRICS")  # a layer above: named, not imported
        metric = metrics.find(recipe.eval_metric)
        chosen.append((metrics, recipe.eval_metric, getattr(metric, "score", metric), "eval_metric"))
    for rows in datasets:
        if rows is not None:
            chosen.append((FORMATS, rows.format, FORMATS.find(rows.format), "data"))
            suffixes = {file.suffix.lower().removeprefix(".") for file in rows.sources}
            chosen += [(SOURCES, suffix, SOURCES.find(suffix), "data") for suffix in sorted(suffixes)]
    modules = []
    for registry, kind, item, field in chosen:
        if registry.origin(kind) != "script":
            continue
        name = (item if isinstance(item, type) or callable(item) else type(item)).__module__
        file = getattr(sys.modules.get(name), "__file__", None)
        if name == "__main__" or file is None:
            raise RefusedError(
                f"the {registry.kind} {kind!r} is defined in a script or notebook, which the training process "
                "cannot import; put the class into a module of its own, and import it here",
                backend="local",
                fields=(field,),
            )
        depth = name.count(".") + (Path(file).name == "__init__.py")
        modules.append({"name": name, "folder": str(Path(file).resolve().parents[depth])})
    return modules


def _with_parts(grader: Grader) -> Iterator[Grader]:
    yield grader
    for part in getattr(grader, "graders", {}).values():
        yield from _with_parts(part)


def import_plugin_modules(modules: Iterable[Mapping[str, str]]) -> None:
    """Import what :func:`plugin_modules` listed in another process.

    Args:
        modules: the modules and their folders.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for module in modules:
        if module["folder"] not in sys.path:
            sys.path.append(module["folder"])
        try:
            importlib.import_module(module["name"])
        except Exception as error:  # a user's module may raise anything
            raise ConfigError(
                f"the module {module['name']!r} ({module['folder']}), which the recipe needs, "
                f"cannot be imported: {type(error).__name__}: {error}"
            ) from error
