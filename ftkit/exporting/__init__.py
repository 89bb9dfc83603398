"""Exports: a tuned model as files that other servers take, replayed from those files before they are handed over.

The folder is called so, and not ``export``, because the function :func:`ftkit.export` has that name.
"""

from ftkit.exporting.export import export
from ftkit.exporting.export_result import Export

__all__ = ["Export", "export"]
