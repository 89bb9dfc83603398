"""Settings from TOML and options, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftkit.errors import ConfigError
from ftkit.recipe import ModelSize, RecipeFacts
from ftkit.server.jobs.recipe import job_recipe
from ftkit.server.settings import load_settings


def test_options_go_before_the_file_and_names_are_added(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(
        'port = 9000\norganization = "acme"\n[models]\nsmall = "smollm2-135m"\n[aliases]\nold = "small"\n'
        '[recipe]\nadapter = { kind = "qlora" }\n'
    )
    found = load_settings(file, port=9001, models={"other": "x/y"}, aliases={"older": "other"})
    assert (found.port, found.organization) == (9001, "acme")
    assert found.models == {"small": "smollm2-135m", "other": "x/y"}
    assert found.aliases == {"old": "small", "older": "other"}
    assert found.recipe_of("sft", epochs=2).adapter.kind == "qlora"
    assert found.recipe_of("dpo", beta=0.3).model_dump()["beta"] == 0.3
    said = load_settings(recipe={"epochs": 2}, reinforcement={"epochs": 4, "num_generations": 2})
    graded = {"type": "string_check", "input": "a", "reference": "b", "operation": "eq"}
    found = said.recipe_of("rft", grader=graded, num_generations=3).model_dump()
    assert (found["epochs"], found["num_generations"], said.recipe_of("sft").epochs) == (4, 3, 2)
    assert load_settings().models == {"smollm2-135m": "smollm2-135m"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 1 2", "not valid TOML"),
        ("prot = 1", "prot: there is no such field in Settings; did you mean port?"),
        ("port = 70000", "port: should be less than or equal to 65535"),
        ('[reinforcement]\nembedder = "elsewhere:m"', "reinforcement: there is no backend 'elsewhere'"),
        ('[aliases]\na = "none"', "'a' refers to 'none', which is not in models"),
        ('[aliases]\n"smollm2-135m" = "smollm2-135m"', "is already the name of a model"),
        ('[models]\n"a:b" = "x"', "invalid model name 'a:b'"),
        ("[recipe]\nepoch = 2", "recipe: epoch: there is no such field in SFT; did you mean epochs?"),
        ("[recipe]\nbeta = 0.1", "recipe: beta: .*in a recipe for sft"),
        ("[reinforcement]\nepsilons = 1", "reinforcement: epsilons: .*in a recipe for rft"),
        ('[reinforcement]\ngrader = "x"', "grader: each job brings its own"),
        ('organization = "A B"', "organization: String should match"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        load_settings(file)
    assert str(refused.value).startswith(str(file))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot read the settings"):
        load_settings("none.toml")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.1.2.3", True), ("0.0.0.0", False), ("x", False)],
)
def test_only_loopback_is_taken_for_it(host: str, loopback: bool) -> None:
    assert load_settings(host=host).loopback is loopback


def test_a_multiplier_of_1_is_the_rate_of_auto(tiny_model: str) -> None:
    """The rate of ``"auto"`` depends on the model, which a multiplier must not forget."""

    def rate(multiplier: float | str) -> float:
        numbers = {"n_epochs": 1, "learning_rate_multiplier": multiplier}
        job = SimpleNamespace(method="supervised", hyperparameters=numbers, grader=None, source=tiny_model, seed=1)
        recipe = job_recipe(load_settings(), job)  # type: ignore[arg-type]  # of a job, only these are read
        config = json.loads((Path(tiny_model) / "config.json").read_text())
        return recipe.resolve(RecipeFacts(rows=9, size=ModelSize.of(config))).learning_rate  # type: ignore[return-value]

    assert rate(1.0) == rate("auto") > 5e-4  # a small model
    assert rate(0.5) == pytest.approx(rate("auto") / 2)
