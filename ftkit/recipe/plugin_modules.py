"""Modules that another process must import to know the recipes and adapters that a script has registered."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ftkit.errors import ConfigError, RefusedError
from ftkit.recipe.adapters import ADAPTERS
from ftkit.recipe.base import Recipe
from ftkit.recipe.losses import LOSSES

__all__ = ["import_plugin_modules", "plugin_modules"]


def plugin_modules(recipe: Recipe) -> list[dict[str, str]]:
    """List the modules that define a recipe's class and its adapter's, if a script has registered them.

    ftkit's own classes and those of installed packages need no module: every process finds them by name.

    Args:
        recipe: to be trained by another process.

    Returns:
        For each module its ``name``, and the ``folder`` from which it can be imported.

    Raises:
        RefusedError: a class is defined in a script or notebook, which another process cannot import.
    """
    modules = []
    for registry, item, field in ((LOSSES, recipe, "kind"), (ADAPTERS, recipe.adapter, "adapter.kind")):
        if registry.origin(item.kind) != "script":
            continue
        name = type(item).__module__
        file = getattr(sys.modules.get(name), "__file__", None)
        if name == "__main__" or file is None:
            raise RefusedError(
                f"the {registry.kind} {item.kind!r} is defined in a script or notebook, which the training process "
                "cannot import; put the class into a module of its own, and import it here",
                backend="local",
                fields=(field,),
            )
        depth = name.count(".") + (Path(file).name == "__init__.py")
        modules.append({"name": name, "folder": str(Path(file).resolve().parents[depth])})
    return modules


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
                f"the module {module['name']!r} ({module['folder']}), which registers the recipe or its adapter, "
                f"cannot be imported: {type(error).__name__}: {error}"
            ) from error
