"""Datasets: rows of files, read lazily for a task, split without leaks, written in other formats.

:class:`Dataset` is the entry point. Below it: ``sources`` (the rows of a file), ``formats`` (a row becomes a
conversation), ``row_reader`` (conversation and answer become a :class:`Row`), ``split``, ``writers`` and
``dataset_spec``.
"""

from __future__ import annotations

from ftkit.data.dataset import Dataset, check_dataset
from ftkit.data.row import Row

__all__ = ["Dataset", "Row", "check_dataset"]
