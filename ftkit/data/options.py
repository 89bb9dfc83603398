"""How the rows of a dataset are read: which columns mean what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ReadOptions"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How rows are read; the arguments of :meth:`ftkit.data.Dataset.load`."""

    format: str = "auto"
    target: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    margin: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    id: str | None = None
    group: str | None = None
    label: str | None = None

    def rename(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Add columns under the names that the task or the format reads.

        Args:
            columns: a row's columns, under the file's names.

        Returns:
            The columns, some of them also under the names that ``columns=`` gives them.
        """
        if not self.columns:
            return columns
        extra = {name: columns[theirs] for name, theirs in self.columns if theirs in columns}
        return {**columns, **extra}

    def named_columns(self) -> dict[str, str]:
        """List the columns of the file that the options name.

        Returns:
            The option, e.g. ``"target"``, to the column's name.
        """
        names = ("target", "chosen", "rejected", "margin", "id", "group", "label")
        single = {name: getattr(self, name) for name in names}
        return {
            **{f"columns[{task_name!r}]": name for task_name, name in self.columns},
            **{key: name for key, name in single.items() if name is not None},
        }
