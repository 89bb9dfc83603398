"""Refuse rows with errors before training is paid for."""

from __future__ import annotations

from ftkit.backends import Backend
from ftkit.counts import counted
from ftkit.data import Dataset
from ftkit.errors import DataError
from ftkit.linting.linter import find_errors

__all__ = ["refuse_errors"]

_SHOWN = 5


def refuse_errors(data: Dataset, validation: Dataset | None, *, backend: Backend) -> None:
    """Run the rules whose findings are errors.

    Rules on tokens are left out, because training counts the same tokens before its first step.

    Args:
        data: the training rows.
        validation: the validation rows, if any.
        backend: the backend to train on.

    Raises:
        DataError: there are errors. The message names the first rows, and says how to train anyway.
    """
    hosted = () if backend.name == "local" else (backend,)
    for rows in (data, validation):
        if rows is None:
            continue
        findings, total, unusable = find_errors(rows, backends=hosted if rows is data else (), keep=_SHOWN)
        if not total:
            continue
        head = f"{unusable:,} of {counted(len(rows), 'row')} cannot be used" if unusable else "the rows cannot be used"
        lines = [
            f"  {finding.place}: {finding.code} {f'{finding.path}: ' if finding.path else ''}{finding.message}"
            for finding in findings[:_SHOWN]
        ]
        more = total - len(lines)
        lines += [f"  … and {more:,} more; `ftkit lint --all` lists them"] if more > 0 else []
        raise DataError("\n".join([head, *lines, "  lint=False (--no-lint) trains anyway."]))
