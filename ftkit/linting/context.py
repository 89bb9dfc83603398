"""What is linted for what purpose: everything that a rule may know besides the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ftkit.data.row_reader import Kind, Options
from ftkit.recipe import Recipe
from ftkit.task import Task

__all__ = ["Setting"]


@dataclass(frozen=True, slots=True)
class Setting:
    """The same for all rows.

    Attributes:
        task: of the training rows.
        kind: demonstrations or preferences.
        format: name of the rows' format.
        options: which columns mean what.
        rows: number of rows of each split.
        backends: where they are to be trained, as ``"name:model"``; may be empty.
        listed: of those, under which provider and name the catalogue has each.
        recipe: what is to be trained; None when not said.
        gradients: rows whose gradients are compared; 0: none.
        eval_texts: of the test rows' long inputs, the first words and the whole: see rule U007.
    """

    task: Task
    kind: Kind
    format: str
    options: Options
    rows: Mapping[str, int]
    backends: tuple[str, ...] = ()
    listed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    recipe: Recipe | None = None
    gradients: int = 0
    eval_texts: Mapping[str, list[tuple[int, str]]] = field(default_factory=dict)

    @property
    def hosted(self) -> tuple[str, ...]:
        """The backends that are not this machine."""
        return tuple(name for name in self.backends if name.partition(":")[0] != "local")
