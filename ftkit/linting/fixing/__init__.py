"""Fix what can be fixed without changing what a row means: see :func:`fix`."""

from __future__ import annotations

from ftkit.linting.fixing.file_edits import FixedFile, LineChange, fix
from ftkit.linting.fixing.text_fixes import FIXABLE_CODES, fix_answer_text

__all__ = ["FIXABLE_CODES", "FixedFile", "LineChange", "fix", "fix_answer_text"]
