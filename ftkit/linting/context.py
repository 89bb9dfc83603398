"""What a rule may know besides the rows: task, backends, recipe, options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ftkit.data.options import ReadOptions
from ftkit.data.row_reader import RowKind
from ftkit.recipe import Recipe
from ftkit.task import Task

__all__ = ["LintContext"]


@dataclass(frozen=True, slots=True)
class LintContext:
    """The purpose for which rows are linted, the same for all rows.

    Attributes:
        task: the task of the training rows.
        kind: demonstrations, preferences, unpaired preferences, prompts or texts.
        format: name of the rows' format.
        options: which columns mean what.
        rows: number of rows of each split.
        backends: backends to train on, as ``"name:model"``; may be empty.
        catalog_names: by backend, the provider and the model name under which the catalogue lists it.
        recipe: the recipe to train with; None if unknown.
        gradients: number of rows whose gradients rule G001 compares; 0: none.
        test_inputs: inputs of test rows by their first words, each with its row number and images; see rule U007.
    """

    task: Task
    kind: RowKind
    format: str
    options: ReadOptions
    rows: Mapping[str, int]
    backends: tuple[str, ...] = ()
    catalog_names: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    recipe: Recipe | None = None
    gradients: int = 0
    test_inputs: Mapping[str, list[tuple[int, str, frozenset[str]]]] = field(default_factory=dict)

    @property
    def hosted_backends(self) -> tuple[str, ...]:
        """The backends that are not this machine."""
        return tuple(name for name in self.backends if name.partition(":")[0] != "local")

    @property
    def local_models(self) -> tuple[str, ...]:
        """Models of the ``local:`` backends."""
        return tuple(name.partition(":")[2] for name in self.backends if name.startswith("local:"))
