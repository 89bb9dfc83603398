"""Export a tuned model as files for other servers, and replay prompts from those files.

The package is not called ``export``, because the function :func:`ftkit.export` has that name.
"""

from ftkit.exporting.export import export
from ftkit.exporting.export_result import Export

__all__ = ["Export", "export"]
