"""Rows from files: read lazily, seen through a task, split without leaks, written in others' forms.

:class:`Dataset` is the door. Below it: ``sources`` (where the rows of a file lie), ``formats`` (how a row becomes a
conversation), ``reading`` (conversation and answer become a :class:`Row`), ``split``, ``writers`` and ``spec``.
"""

from __future__ import annotations

from ftkit.data.dataset import Dataset, check_dataset
from ftkit.data.row import Row

__all__ = ["Dataset", "Row", "check_dataset"]
