"""Mending what can be mended without changing what a row means: see :func:`fix`."""

from __future__ import annotations

from ftkit.linting.fixing.file_edits import Change, Fixed, fix
from ftkit.linting.fixing.text_fixes import MENDS, mended

__all__ = ["MENDS", "Change", "Fixed", "fix", "mended"]
