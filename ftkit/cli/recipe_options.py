"""The options that say what is trained: a recipe and what is changed of it, the same for ``plan`` and ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AdapterKind", "Assignments", "RecipeFile"]

RecipeFile = Annotated[
    Path | None,
    typer.Argument(metavar="RECIPE", help="The recipe (YAML); supervised fine-tuning with LoRA when left out."),
]
AdapterKind = Annotated[
    str | None, typer.Option(metavar="KIND", help="lora, qlora, dora, adalora or full instead of the recipe's.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe, e.g. adapter.rank=8. Repeatable."),
]
