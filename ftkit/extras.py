"""Optional packages: imported late, and when one is missing, the exact line that installs it."""

from __future__ import annotations

import importlib
from types import ModuleType

from ftkit.errors import MissingExtraError

__all__ = ["require"]


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
        cause = f"{module} is not installed" if missing == module.split(".")[0] else f"importing {module} failed: {error}"
        raise MissingExtraError(extra, needed_for, cause) from error
