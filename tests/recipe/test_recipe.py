"""Recipes: frozen, resolved to numbers, the same thing as YAML, precise about what is wrong."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.recipe import ModelSize, RecipeFacts
from ftkit.recipe.field_docs import field_lines
from tests.recipe import field_table

ADAPTERS = [
    ft.LoRA(rank=4, layers_to_transform=[1, 2]),
    ft.QLoRA(quant_type="fp4"),
    ft.DoRA(use_rslora=True),
    ft.AdaLoRA(),
    ft.Full(),
]


def test_a_part_that_is_off_is_turned_on_by_one_of_its_fields() -> None:
    from ftkit.cli.recipe_overrides import override_recipe

    assert override_recipe(ft.SFT(), ["preserve.share=0.25"]).preserve == ft.Preserve(share=0.25)
    assert override_recipe(ft.SFT(), ["preserve=true"]).preserve == ft.Preserve()
    with pytest.raises(ft.ConfigError, match=r"preserve\.shrae"):
        override_recipe(ft.SFT(), ["preserve.shrae=0.5"])


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.kind)
def test_yaml_is_the_object(adapter: ft.LoRA, tmp_path: Path) -> None:
    recipe = ft.SFT(epochs=2, learning_rate=3e-4, adapter=adapter)
    recipe.to_yaml(tmp_path / "r.yaml")
    again = ft.load_recipe(tmp_path / "r.yaml")
    assert again == recipe
    assert again.fingerprint == recipe.fingerprint
    assert again.to_yaml().startswith("kind: sft\n")


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.kind)
@pytest.mark.parametrize("rows", [100, 5_000, 50_000])
def test_auto_becomes_numbers(adapter: ft.LoRA, rows: int) -> None:
    resolved = ft.SFT(adapter=adapter).resolve(RecipeFacts(rows=rows))
    assert "auto" not in resolved.to_yaml()
    assert resolved.resolve(RecipeFacts(rows=rows)) == resolved


def test_full_learns_at_a_tenth_of_an_adapters_rate() -> None:
    facts = RecipeFacts(rows=100)
    adapter, full = (ft.SFT(adapter=one).resolve(facts).learning_rate for one in (ft.LoRA(), ft.Full()))
    assert adapter == pytest.approx(10 * full)


def test_smaller_models_learn_at_a_higher_rate() -> None:
    """The formula is that of tinker-cookbook's ``get_lr``: 5e-4 · (2000 / hidden size) ** exponent of the family."""

    def rate(config: dict[str, Any], **recipe: Any) -> float:
        return ft.SFT(**recipe).resolve(RecipeFacts(rows=100, size=ModelSize.of(config))).learning_rate

    assert rate({}) == 5e-4
    assert rate({"hidden_size": 4096, "model_type": "llama"}) == 2.9e-4
    assert rate({"hidden_size": 2048, "model_type": "llama"}) == 4.9e-4
    assert rate({"hidden_size": 4096, "model_type": "qwen3"}) == 4.7e-4
    assert rate({"text_config": {"hidden_size": 4096, "model_type": "qwen3_5_text"}}) == 4.7e-4
    assert rate({"n_embd": 768, "model_type": "gpt2"}) == 1.1e-3
    assert rate({"hidden_size": 8, "model_type": "llama"}) == rate({"hidden_size": 512}) == 1.4e-3
    assert rate({"hidden_size": 4096}, adapter=ft.Full()) == pytest.approx(2.9e-5)
    assert rate({"hidden_size": 4096}, learning_rate=1e-4) == 1e-4
    assert rate({"hidden_size": "wide"}) == rate({"hidden_size": True}) == 5e-4


def test_paged_optimiser_only_for_qlora_on_cuda() -> None:
    def optimizer(adapter: ft.LoRA | ft.QLoRA, device: str) -> str:
        facts = RecipeFacts(rows=100, device=device)
        return ft.SFT(adapter=adapter).resolve(facts).optimizer

    assert optimizer(ft.QLoRA(), "cuda") == "paged_adamw_8bit"
    assert optimizer(ft.LoRA(), "cuda") == "adamw"
    assert optimizer(ft.QLoRA(), "cpu") == "adamw"


def test_steps_count_the_last_small_batch() -> None:
    assert ft.SFT(epochs=3, batch_size=8).total_steps(17) == 9
    with pytest.raises(ft.ConfigError, match="resolve"):
        ft.SFT().total_steps(17)


def test_adalora_needs_room_to_move_ranks() -> None:
    with pytest.raises(ft.ConfigError, match=r"the run has 2 in all.*use LoRA"):
        ft.SFT(adapter=ft.AdaLoRA(), epochs=1, batch_size=8).resolve(RecipeFacts(rows=10))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"learning_rate": 2.0}, "learning_rate must be between 0 and 1"),
        ({"warmup_ratio": 1.0}, "less than 1"),
        ({"learning_rte": 1e-4}, "learning_rte: there is no such field in SFT; did you mean learning_rate"),
        ({"adapter": {"kind": "lora", "target_modules": []}}, "nothing would be trained"),
        ({"adapter": {"kind": "lora", "layers_to_transform": []}}, "takes 1 to 10,000 layers, not 0"),
        ({"adapter": {"kind": "qlora", "layers_to_transform": range(10**12)}}, "takes 1 to 10,000 layers"),
        ({"adapter": {"kind": "dora", "layers_to_transform": [1, -1]}}, "whole numbers from 0"),
        ({"adapter": {"kind": "lora", "layers_to_transform": [True]}}, "whole numbers from 0"),
        ({"adapter": {"kind": "lora", "layers_to_transform": [3, 3]}}, "names a layer twice"),
        ({"adapter": {"kind": "adalora", "layers_to_transform": "10-30"}}, "takes numbers of layers, e.g. range"),
        ({"adapter": {"kind": "adalora", "init_rank": 4, "target_rank": 8}}, "ranks only fall"),
        ({"adapter": {"kind": "adalora", "interval_steps": 0}}, "interval_steps must be at least 1"),
        ({"adapter": {"kind": "adalora", "warmup_steps": -1}}, "warmup_steps must be at least 0"),
        ({"adapter": {"kind": "ia3"}}, "there is no adapter .ia3.. Known: adalora"),
    ],
)
def test_a_wrong_value_is_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ft.ConfigError, match=says):
        ft.SFT(**wrong)


def test_a_wrong_value_says_every_field_in_one_sentence_each() -> None:
    with pytest.raises(ft.ConfigError) as caught:
        ft.SFT(epochs="two", adapter={"kind": "qlora", "rnk": 8, "rank": 0})  # type: ignore[arg-type]
    assert str(caught.value) == (
        "SFT: epochs: should be a valid integer or 'auto', not 'two'; "
        "adapter.rank: should be greater than or equal to 1, not 0; "
        "adapter.rnk: there is no such field in QLoRA; did you mean rank?"
    )
    with pytest.raises(ft.ConfigError, match="temperature: should be less than or equal to 2"):
        ft.Sampling(temperature=3)


@pytest.mark.parametrize("wrong", ["lorax", ft.QLoRA])
def test_an_adapter_that_is_none_is_refused_with_those_there_are(wrong: Any) -> None:
    with pytest.raises(ft.ConfigError, match=r"is not an adapter; write LoRA\(\), QLoRA\(rank=8\), DoRA\(\)"):
        ft.SFT(adapter=wrong)


def test_a_changed_copy_is_checked_like_a_new_recipe() -> None:
    recipe = ft.SFT(epochs=2, adapter=ft.DoRA(rank=4))
    assert recipe.model_copy(update={"epochs": 3}) == ft.SFT(epochs=3, adapter=ft.DoRA(rank=4))
    with pytest.raises(ft.ConfigError, match="did you mean epochs"):
        recipe.model_copy(update={"epoch": 3})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: sft\nadapter: {kind: lora, rank: 0}\n", r"r\.yaml: adapter\.rank: .*greater than or equal to 1"),
        ("kind: ppo\n", r"r\.yaml: kind: there is no recipe 'ppo'; known are .*sft"),
        ("kind: [sft]\n", r"r\.yaml: kind: there is no recipe \['sft'\]"),
        ("- 1\n", "expected a mapping such as `kind: sft`, got list"),
        ("kind: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_named(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(ft.ConfigError, match=says):
        ft.load_recipe(tmp_path / "r.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ft.ConfigError, match=r"nowhere\.yaml: cannot read the recipe"):
        ft.load_recipe(tmp_path / "nowhere.yaml")


def test_a_field_that_is_set_says_how_to_make_a_changed_copy() -> None:
    recipe = ft.SFT(epochs=2)
    with pytest.raises(ft.ConfigError) as caught:
        recipe.epochs = 3  # type: ignore[misc]
    assert str(caught.value) == (
        'SFT is frozen, so epochs cannot be changed; make a changed copy: .model_copy(update={"epochs": 3})'
    )
    with pytest.raises(ft.ConfigError, match=r"epoch: there is no such field in SFT; did you mean epochs\?"):
        recipe.epoch = 3  # type: ignore[attr-defined]
    with pytest.raises(ft.ConfigError, match="LoRA is frozen, so rank cannot be changed"):
        del ft.LoRA().rank
    assert recipe == ft.SFT(epochs=2)


def test_layers_may_be_given_as_a_list_and_are_kept_hashable() -> None:
    listed = ft.LoRA(target_modules=["q_proj", "v_proj"])
    assert listed == ft.LoRA(target_modules=("q_proj", "v_proj"))
    assert hash(listed) == hash(ft.LoRA(target_modules=("q_proj", "v_proj")))
    assert listed.target_modules == ("q_proj", "v_proj")
    assert ft.LoRA(layers_to_transform=range(2, 4)).layers_to_transform == (2, 3)
    assert ft.LoRA(layers_to_transform=[3, 2]) == ft.LoRA(layers_to_transform=range(2, 4))
    assert ft.LoRA(layers_to_transform=0).layer_numbers == (0,)


def test_help_and_the_documents_have_every_field() -> None:
    assert '    learning_rate (default "auto"): Peak learning rate' in (inspect.getdoc(ft.SFT) or "")
    assert "    grader (required): Gives each answer a reward" in (inspect.getdoc(ft.RFT) or "")
    assert "    rank (default 16): Rank r of the update" in (inspect.getdoc(ft.QLoRA) or "")
    for kind in (*field_table.RECIPES, *field_table.ADAPTERS):
        assert all(what for _, _, what in field_lines(kind)), kind
    page = Path(__file__).parents[2] / "docs" / "recipes.md"
    assert field_table.tables() in page.read_text(encoding="utf-8")
