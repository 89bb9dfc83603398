"""The recipes that ftkit comes with are exactly what their objects dump, and can be used as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import ftkit as ft
from ftkit.recipe import RecipeFacts

FOLDER = Path(__file__).parents[2] / "recipes"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_there_is_a_recipe_for_each_job():
    wanted = {"extract-json", "classify", "tone", "full-small", "dpo-tone", "reward-tone", "rft-visits", "rlhf-tone"}
    assert wanted <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_the_dumped_object(file):
    assert ft.load_recipe(file).to_yaml() == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("rows", [50, 900, 20_000])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_resolves_to_numbers(file, rows):
    recipe = ft.load_recipe(file)
    resolved = recipe.resolve(RecipeFacts(rows=rows))
    assert "auto" not in resolved.to_yaml().replace("all-linear", "")
    again = type(recipe).model_validate(resolved.model_dump(mode="json"))
    assert again.fingerprint == resolved.fingerprint
    assert resolved.total_steps(rows) >= rows / 32
