"""Import optional packages late. If one is missing, the error gives the command that installs it."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from ftkit.errors import MissingExtraError

__all__ = ["check_installed", "require"]


def require(module: str, *, extra: str, needed_for: str) -> ModuleType:
    """Import an optional module.

    Args:
        module: dotted name to import, e.g. ``"torch"``.
        extra: the extra of ftkit that installs it, e.g. ``"local"``.
        needed_for: what needs the module; the message begins with it.

    Returns:
        The module.

    Raises:
        MissingExtraError: the module is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = getattr(error, "name", None)
        cause = (
            f"{module} is not installed" if missing == module.split(".")[0] else f"importing {module} failed: {error}"
        )
        raise MissingExtraError(extra, needed_for, cause) from error


def check_installed(module: str, *, extra: str, needed_for: str) -> None:
    """Check that a module is installed, without importing it.

    This is faster than :func:`require`, but does not notice an installed module that cannot be imported.

    Args:
        module: dotted name of the module, e.g. ``"torch"``.
        extra: the extra of ftkit that installs it, e.g. ``"local"``.
        needed_for: what needs the module; the message begins with it.

    Raises:
        MissingExtraError: ``module`` is not installed.
    """
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise MissingExtraError(extra, needed_for, f"{module} is not installed")
