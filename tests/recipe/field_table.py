"""The documents' tables of the fields of recipes and adapters: ``python -m tests.recipe.field_table`` prints them."""

from __future__ import annotations

import re

from pydantic import BaseModel

import ftkit as ft
from ftkit.recipe.field_docs import field_lines

RECIPES = (ft.SFT, ft.CPT, ft.DPO, ft.KTO, ft.ORPO, ft.SimPO, ft.Distillation, ft.GKD, ft.RewardModel, ft.RFT)
ADAPTERS = (ft.LoRA, ft.QLoRA, ft.DoRA, ft.AdaLoRA, ft.Full)


def tables() -> str:
    """A section for what all recipes have, then one for what each recipe and each adapter has besides."""
    shared = {name for name, *_ in field_lines(ft.SFT)}
    parts = [_section("Every recipe", ft.SFT, set())]
    parts += [_section(f"`ft.{kind.__name__}`", kind, shared) for kind in RECIPES[1:]]
    parts.append(_section("`ft.Preserve`", ft.Preserve, set()))
    low_rank = {name for name, *_ in field_lines(ft.LoRA)}
    parts.append(_section("`ft.LoRA`", ft.LoRA, set()))
    for kind in ADAPTERS[1:]:
        above = low_rank if issubclass(kind, ft.LoRA.__mro__[1]) else set()
        parts.append(_section(f"`ft.{kind.__name__}`" + (", beside LoRA's" if above else ""), kind, above))
    return "\n".join(part for part in parts if part)


def _section(title: str, kind: type[BaseModel], without: set[str]) -> str:
    rows = [
        f"| `{name}` | {_code(default)} | {_markdown(what)} |"
        for name, default, what in field_lines(kind)
        if name not in without
    ]
    head = f"## {title}\n\n| field | default | what it is |\n| --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n" if rows else ""


def _code(default: str) -> str:
    return f"`{default.removeprefix('default ')}`" if default != "required" else default


def _markdown(text: str) -> str:
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    print(tables())
