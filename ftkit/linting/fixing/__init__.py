"""Mending what can be mended without changing what a row means: see :func:`fix`."""

from __future__ import annotations

from ftkit.linting.fixing.files import Change, Fixed, fix
from ftkit.linting.fixing.mending import MENDS, mended

__all__ = ["MENDS", "Change", "Fixed", "fix", "mended"]
