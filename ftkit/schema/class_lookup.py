"""Load a user's class by its name, for the command line."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ftkit.errors import ConfigError

__all__ = ["load_class"]


def load_class(name: str) -> Any:
    """Load a class, or another output type.

    Runs the module, like an import does. Modules are searched in Python's path, then in the working folder; a file
    may import its neighbours. The same file is run once in a process.

    Args:
        name: ``package.module:Visit`` or ``path/to/file.py:Visit``.

    Returns:
        The class.

    Raises:
        ConfigError: no such file, module or class, or the module raised an exception.
    """
    module_name, colon, attribute = name.rpartition(":")
    if not (module_name and colon and attribute) or "/" in attribute or "\\" in attribute:
        raise ConfigError(f'"{name}" is not the name of a class; write package.module:Visit or path/to/file.py:Visit')
    try:
        module = _from_file(Path(module_name)) if module_name.endswith(".py") else _from_path(module_name)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f'"{name}": importing {module_name} failed: {type(error).__name__}: {error}') from error
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            own_classes = {key: kind for key, kind in vars(module).items() if isinstance(kind, type)}
            classes = sorted(key for key, kind in own_classes.items() if kind.__module__ == module.__name__)
            listed = f"; its classes are {', '.join(classes)}" if classes else "; it defines no classes"
            raise ConfigError(f'"{name}": {module_name} has no "{attribute}"{listed}')
        value = getattr(value, part)
    return value


def _from_path(name: str) -> ModuleType:
    with _also_importable(os.getcwd()):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
                raise
            raise ConfigError(
                f'there is no module "{name}" to import, here or in the Python path; '
                "for a file write its path with .py: path/to/file.py:Visit"
            ) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f'there is no file "{path}"')
    resolved = path.resolve()
    # The name is unique to the path: two files called schema.py must not become one module.
    name = f"_ftkit_user_{resolved.stem}_{hashlib.sha256(str(resolved).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise ConfigError(f'"{path}" is not a Python file')
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic and dataclasses look their classes' module up while it runs
    try:
        with _also_importable(str(resolved.parent)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _also_importable(folder: str) -> Iterator[None]:
    """Let imports find ``folder``, last, so that nothing in it hides an installed package."""
    if folder in sys.path:
        yield
        return
    importlib.invalidate_caches()  # the file may be younger than what Python remembers of the folder
    sys.path.append(folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
