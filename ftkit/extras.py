"""Optional packages: imported late, and when one is missing, the exact line that installs it."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from ftkit.errors import MissingExtraError

__all__ = ["check_installed", "require"]


def require(module: str, *, extra: str, needed_for: str) -> ModuleType:
    """Import ``module`` or say which extra of ftkit brings it.

    Args:
        module: dotted name to import, e.g. ``"torch"``.
        extra: the extra of ftkit that installs it, e.g. ``"local"``.
        needed_for: what the caller was about to do, to begin the message with.

    Raises:
        MissingExtraError: ``module`` is not installed, or is installed and cannot be imported.
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
    """As :func:`require`, without importing: quick, but blind to a package that is there and broken.

    Raises:
        MissingExtraError: ``module`` is not installed.
    """
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise MissingExtraError(extra, needed_for, f"{module} is not installed")
