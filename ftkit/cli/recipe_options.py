"""Options of the recipe and its overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AdapterKind", "Assignments", "RecipeFile"]

RecipeFile = Annotated[
    Path | None,
    typer.Argument(metavar="RECIPE", help="Recipe (YAML). Default: supervised fine-tuning with LoRA."),
]
AdapterKind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND", help="Replace the recipe's adapter: lora, qlora, dora, adalora, full or one of a package."
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the recipe, e.g. adapter.rank=8. Repeatable."),
]
