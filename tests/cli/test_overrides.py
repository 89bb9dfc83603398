from __future__ import annotations

import pytest

import ftkit as ft
from ftkit.cli.recipe_overrides import override_recipe

QLORA = ft.SFT(epochs=3, adapter=ft.QLoRA(rank=32))


def test_fields_are_set_and_the_others_stay():
    changed = override_recipe(QLORA, ["epochs=1", "learning_rate=1e-3", "adapter.rank=8", "max_length=null"])
    assert changed == ft.SFT(epochs=1, learning_rate=0.001, adapter=ft.QLoRA(rank=8))
    assert QLORA.epochs == 3


def test_values_are_yaml():
    changed = override_recipe(
        QLORA, ["adapter.target_modules=[q_proj, v_proj]", "shared_prefix=false", "epochs=auto", 'precision="fp32"']
    )
    assert changed.adapter.target_modules == ("q_proj", "v_proj")
    assert (changed.shared_prefix, changed.epochs, changed.precision) == (False, "auto", "fp32")


def test_the_last_value_of_a_field_counts():
    assert override_recipe(QLORA, ["epochs=1", "epochs=2"]).epochs == 2


def test_another_adapter_keeps_what_it_knows():
    assert override_recipe(QLORA, ["adapter.kind=dora"]).adapter == ft.DoRA(rank=32)
    assert override_recipe(QLORA, [], "lora").adapter == ft.LoRA(rank=32)
    assert override_recipe(QLORA, ["adapter.use_rslora=true"], "qlora").adapter == ft.QLoRA(rank=32, use_rslora=True)


def test_another_adapter_loses_what_was_never_chosen():
    plain = ft.SFT(adapter=ft.QLoRA())
    for kind, adapter in {"full": ft.Full(), "adalora": ft.AdaLoRA(), "dora": ft.DoRA()}.items():
        assert override_recipe(plain, [], kind).adapter == adapter
    assert override_recipe(ft.SFT(adapter=ft.Full()), [], "qlora").adapter == ft.QLoRA()


def test_fields_of_the_new_adapter_can_be_set_in_any_order():
    changed = override_recipe(ft.SFT(adapter=ft.QLoRA()), ["adapter.init_rank=6", "adapter.target_rank=4"], "adalora")
    assert changed.adapter == ft.AdaLoRA(init_rank=6, target_rank=4)


def test_a_whole_adapter_can_be_put_in_its_place():
    assert override_recipe(QLORA, ["adapter={kind: full}"]).adapter == ft.Full()
    assert override_recipe(QLORA, ["adapter.rank=4", "adapter={kind: lora, rank: 2}"]).adapter == ft.LoRA(rank=4)


@pytest.mark.parametrize("adapter", ["full", "adalora"])
def test_a_chosen_value_is_never_dropped(adapter):
    with pytest.raises(ft.ConfigError, match=rf"rank=32, which {adapter} does not have.*adapter=\{{kind: {adapter}\}}"):
        override_recipe(QLORA, [], adapter)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "--set epochs: write it as field=value"),
        ("=3", "--set =3: write it as field=value"),
        ("epochs=[1", "not valid YAML"),
        ("epoch=1", "epoch: there is no such field in SFT; did you mean epochs?"),
        ("zzz=1", "zzz: there is no such field in SFT; the fields are kind, epochs"),
        ("adapter.rnk=1", "adapter.rnk: there is no such field in QLoRA; did you mean rank?"),
        ("adapter.quant_type=int8", "adapter.quant_type: should be 'nf4' or 'fp4'"),
        ("adapter.rank=0", "adapter.rank: should be greater than or equal to 1"),
        ("adapter.target_modules=[1]", "adapter.target_modules: should be 'all-linear' or a valid string"),
        ("epochs=many", "epochs: should be a valid integer or 'auto'"),
        ("learning_rate=2", "learning_rate must be between 0 and 1"),
        ("epochs.first=1", "--set epochs.first=1: epochs has no fields"),
        ("optimiser.name=adam", "--set optimiser.name=adam: optimiser has no fields"),
        ("adapter.kind=lara", "--set adapter.kind=lara: there is no adapter 'lara'; the adapters are lora, qlora"),
        ("adapter.kind=[1]", "there is no adapter [1]"),
        ("adapter=lora", "adapter: 'lora' is a kind: write LoRA()"),
        ("adapter={rank: 2}", "adapter: kind is missing; known are lora, qlora"),
        ("kind=dpo", "--set kind=dpo: cannot change the kind of a recipe"),
    ],
)
def test_what_is_wrong_is_named(assignment, message):
    with pytest.raises(ft.ConfigError) as caught:
        override_recipe(QLORA, [assignment])
    assert message in str(caught.value)


def test_every_fault_is_named_at_once():
    with pytest.raises(ft.ConfigError, match=r"adapter\.rank: .*; seed: "):
        override_recipe(QLORA, ["seed=-1", "adapter.rank=0"])
