"""Refusing rows with errors, before training is paid for."""

from __future__ import annotations

from ftkit.backends import Backend
from ftkit.data import Dataset
from ftkit.errors import DataError
from ftkit.linting.linter import lint

__all__ = ["refuse_errors"]

_SHOWN = 5


def refuse_errors(data: Dataset, validation: Dataset | None, *, backend: Backend) -> None:
    """Run the rules whose findings are errors.

    Rules on tokens are left to the engine, which counts the same tokens again before its first step.

    Raises:
        DataError: there are errors; names the first rows, and says how to go on.
    """
    hosted = () if backend.name == "local" else (backend,)
    for rows in (data, validation):
        if rows is None:
            continue
        report = lint(rows, backends=hosted if rows is data else (), severity="error", keep=_SHOWN)
        if not report.counts:
            continue
        faulty = report.flagged_rows
        total = sum(count.count for count in report.counts)
        head = f"{faulty:,} of {len(rows):,} rows cannot be used" if faulty else "the rows cannot be used"
        lines = [
            f"  {finding.place}: {finding.code} {f'{finding.path}: ' if finding.path else ''}{finding.message}"
            for finding in report.findings[:_SHOWN]
        ]
        more = total - len(lines)
        lines += [f"  … and {more:,} more; `ftkit lint --all` lists them"] if more > 0 else []
        raise DataError("\n".join([head, *lines, "  lint=False (--no-lint) goes on anyway."]))
