"""Writing a report or a comparison in the form that the file's suffix names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ftkit.errors import ReportError
from ftkit.files import write_atomically

__all__ = ["save"]


def save(
    path: str | os.PathLike[str],
    *,
    json: Callable[[], str],
    html: Callable[[], str],
    markdown: Callable[[], str],
    junit: Callable[[], str] | None = None,
) -> Path:
    """Write to ``path`` what the function for its suffix gives.

    Raises:
        ReportError: another suffix than ``.json``, ``.html``, ``.md`` (and ``.xml`` with ``junit``), or the file cannot
            be written.
    """
    target = Path(path)
    forms = {".json": json, ".html": html, ".md": markdown}
    if junit is not None:
        forms[".xml"] = junit
    form = forms.get(target.suffix.lower())
    if form is None:
        raise ReportError(f'{target}: the suffix "{target.suffix}" says no form; use {", ".join(forms)}')
    try:
        write_atomically(target, form())
    except OSError as error:
        raise ReportError(f"{target}: cannot be written: {error.strerror or error}") from None
    return target
