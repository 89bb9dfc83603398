"""Training on a tiny model: what is learnt, what is kept, and what stops it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ftkit as ft
from ftkit.errors import DataError, RefusedError, TrainingError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.load_for_inference import load_for_answers
from ftkit.modeling.model_source import find_source
from ftkit.training import job as training
from ftkit.training.adapters.attach import adapt
from ftkit.training.artifact import RECORD
from ftkit.training.job import Job, train
from ftkit.training.progress import TrainingStopped
from tests.modeling.sequences import family_of_rows
from tests.tiny import save_tiny, tiny_causal

TASK = ft.Task("Read the age and the bed from the note; answer with both.", input="{note}")
ADAPTERS = {
    "lora": ft.LoRA(rank=4),
    "qlora": ft.QLoRA(rank=4),
    "dora": ft.DoRA(rank=4, use_rslora=True),
    "adalora": ft.AdaLoRA(init_rank=4, target_rank=2),
    "full": ft.Full(),
}
PROBE = torch.arange(5, 45).unsqueeze(0)
CPU = torch.device("cpu")


def rows(count: int = 12, first: int = 0) -> ft.Dataset:
    return ft.Dataset.from_rows(
        [
            {"note": f"bed {n % 5}: a patient of {30 + n} years" + " sleeps" * (n % 3), "gold": f"{30 + n} in {n % 5}"}
            for n in range(first, first + count)
        ],
        TASK,
        target="gold",
    )


def recipe(adapter: Any = ADAPTERS["lora"], **changes: Any) -> ft.SFT:
    rate = 2e-3 if adapter.kind == "full" else 1e-2
    plain = {"epochs": 3, "batch_size": 4, "learning_rate": rate, "precision": "fp32", "seed": 3}
    return ft.SFT(adapter=adapter, **(plain | changes))


class Trained:
    """A run in this process: its events, its summary and its folder."""

    def __init__(self, model: str, output: Path, chosen: ft.SFT, data: ft.Dataset, validation: ft.Dataset | None):
        self.folder = output
        self.events: list[tuple[str, dict[str, Any]]] = []
        job = Job(chosen, data, validation, model, output, {"run_id": "r"})
        self.summary = train(job, lambda kind, data: self.events.append((kind, data)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for found, data in self.events if found == kind]

    @property
    def warnings(self) -> list[str]:
        return [data["message"] for data in self.of("warning")]

    @property
    def losses(self) -> list[float]:
        return [step["loss"] for step in self.of("step")]

    @property
    def weights(self) -> bytes:
        return (self.folder / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def run(tiny_model: str, tmp_path: Path) -> Callable[..., Trained]:
    number = iter(range(100))

    def run(
        chosen: ft.SFT | None = None,
        data: ft.Dataset | None = None,
        validation: ft.Dataset | None = None,
        model: str = tiny_model,
    ) -> Trained:
        output = tmp_path / f"model-{next(number)}"
        return Trained(model, output, chosen or recipe(epochs=1), data or rows(), validation)

    return run


def after_adapting(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], object]) -> None:
    """Let ``change`` have the adapted model before training begins."""

    def adapted(*args: Any, **kwargs: Any) -> Any:
        done = adapt(*args, **kwargs)
        change(done)
        return done

    monkeypatch.setattr(training, "adapt", adapted)


@torch.no_grad()
def logits_of(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=PROBE, use_cache=False).logits
    return found


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_every_adapter_learns_and_what_it_learnt_can_be_loaded(kind, run, tiny_model, monkeypatch):
    kept: list[torch.Tensor] = []
    save = training.save_artefact

    def look_and_save(folder: Path, pretrained: Any, adapted: Any, *rest: Any) -> None:
        kept.append(logits_of(adapted.base_model))
        save(folder, pretrained, adapted, *rest)

    monkeypatch.setattr(training, "save_artefact", look_and_save)
    # AdaLoRA's update is scaled by three small factors, so it begins slowly.
    done = run(recipe(ADAPTERS[kind], **({"epochs": 8, "learning_rate": 5e-2} if kind == "adalora" else {"epochs": 4})))
    assert len(done.losses) == done.summary["steps"] == (24 if kind == "adalora" else 12)
    assert np.mean(done.losses[-3:]) < np.mean(done.losses[:3]) - 0.5

    served = load_for_answers(find_source(str(done.folder)), precision="fp32", device=CPU)
    torch.testing.assert_close(logits_of(served.model), kept[0], rtol=1e-3, atol=1e-3)
    base = load_for_answers(find_source(tiny_model), precision="fp32", device=CPU)
    assert float((logits_of(base.model) - kept[0]).abs().max()) > 0.1

    torch.testing.assert_close(logits_of(by_others(kind, done.folder, tiny_model)), kept[0], rtol=1e-3, atol=1e-3)


def by_others(kind: str, folder: Path, base: str) -> Any:
    """The result as a user of transformers and PEFT loads it, without ftkit."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    if kind == "full":
        return AutoModelForCausalLM.from_pretrained(folder).eval()
    extra: dict[str, Any] = {}
    if kind == "qlora":
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
        )
    loaded = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, device_map={"": "cpu"}, **extra)
    # Not ``eval()``: then bitsandbytes multiplies 4-bit weights in bfloat16 on CPUs that have it.
    return PeftModel.from_pretrained(loaded, folder).train()


def test_the_folder_says_how_it_was_made_and_holds_what_serving_needs(run, tiny_model):
    done = run(recipe(ADAPTERS["qlora"], epochs=1))
    files = {file.name for file in done.folder.iterdir()}
    assert files >= {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", RECORD,
        "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    record = json.loads((done.folder / RECORD).read_text(encoding="utf-8"))
    assert record["run_id"] == "r"
    assert record["base_name"] == tiny_model
    assert record["recipe"]["learning_rate"] == 1e-2
    assert record["recipe"]["adapter"]["lora_alpha"] == 8
    assert record["quantisation"] == {"quant_type": "nf4", "double_quant": True}
    assert record["versions"].keys() >= {"python", "torch", "transformers", "peft", "bitsandbytes"}
    assert record["summary"]["steps"] == 3
    card = (done.folder / "README.md").read_text(encoding="utf-8")
    assert "library_name: peft" in card
    assert record["recipe_fingerprint"] in card
    assert [file.name for file in done.folder.parent.glob(".model*")] == []


def test_what_is_saved_knows_the_template_it_was_trained_with(run, tokenizer):
    done = run()
    record = json.loads((done.folder / RECORD).read_text(encoding="utf-8"))
    served = load_for_answers(find_source(str(done.folder)), precision="fp32", device=CPU)
    assert served.chat_template.template_hash == record["template_hash"] == ChatTemplate(tokenizer).template_hash


def test_adalora_moves_ranks_down_to_the_target(run):
    done = run(recipe(ADAPTERS["adalora"], epochs=4))
    ranks = done.summary["adalora_ranks"]
    assert len(ranks) == 2 * 7
    assert sum(ranks.values()) == 2 * len(ranks)
    assert len(set(ranks.values())) > 1  # some layers kept more than others
    settings = json.loads((done.folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert {name.removesuffix(".lora_E"): sum(kept) for name, kept in settings["rank_pattern"].items()} == {
        name.removeprefix("base_model.model."): rank for name, rank in ranks.items()
    }


def test_the_same_seed_gives_the_same_bits(run):
    chosen = recipe(ft.LoRA(rank=4, lora_dropout=0.1), epochs=1)
    first = run(chosen)
    assert run(chosen).weights == first.weights
    assert run(chosen.model_copy(update={"seed": 4})).weights != first.weights


def test_looking_at_validation_rows_changes_nothing(run):
    chosen = recipe(ft.LoRA(rank=4, lora_dropout=0.1), epochs=2, eval_steps=2)
    without, watched = run(chosen), run(chosen, validation=rows(5, first=40))
    assert watched.weights == without.weights
    assert [one["step"] for one in watched.of("validation")] == [0, 2, 4, 6]
    assert watched.summary["validation_loss"] < watched.summary["validation_loss_before"]
    assert watched.summary["validation_loss"] == watched.of("validation")[-1]["loss"]


def test_validation_loss_is_the_mean_over_supervised_tokens(run):
    held_out = rows(5, first=40)
    done = run(recipe(epochs=1, learning_rate=1e-7), data=held_out, validation=held_out)
    # Nothing has moved, so the mean over the batches (weighted by their tokens) is what validation finds.
    steps = done.of("step")
    mean = sum(s["loss"] * s["supervised_tokens"] for s in steps) / sum(s["supervised_tokens"] for s in steps)
    assert done.summary["validation_loss_before"] == pytest.approx(mean, rel=1e-5)


def test_cutting_a_batch_for_computing_changes_no_number(run):
    whole = run(recipe(batch_size=12, epochs=1)).of("step")[0]
    cut = run(recipe(batch_size=12, epochs=1, max_batch_tokens=60)).of("step")[0]
    assert cut["computed_tokens"] > whole["computed_tokens"]
    assert cut["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert cut["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-5)


def test_sharing_beginnings_changes_no_loss(run):
    shared, alone = run(recipe()), run(recipe(shared_prefix=False))
    assert shared.summary["shared_prefix"]
    assert not alone.summary["shared_prefix"]
    assert shared.losses == pytest.approx(alone.losses, rel=1e-5)
    assert shared.of("step")[0]["computed_tokens"] < alone.of("step")[0]["computed_tokens"]
    assert shared.summary["tokens"] == alone.summary["tokens"]


def test_token_accuracy_counts_each_token_once_however_the_rows_are_computed(run):
    learned = run(recipe(ADAPTERS["full"], epochs=12, learning_rate=5e-3)).folder  # some tokens right, some wrong

    def of(data: ft.Dataset, **changes: Any) -> tuple[float, float]:
        changes = {"epochs": 1, "batch_size": 12, "learning_rate": 1e-7} | changes
        done = run(recipe(**changes), data, validation=data, model=str(learned))
        right = sum(one["token_accuracy"] * one["supervised_tokens"] for one in done.of("step"))
        tokens = sum(one["supervised_tokens"] for one in done.of("step"))
        assert done.of("validation")[0]["token_accuracy"] == pytest.approx(right / tokens)
        return right, tokens

    right, tokens = of(rows())
    assert 0.1 < right / tokens < 0.95
    for changes in ({"max_batch_tokens": 60}, {"shared_prefix": False}, {"batch_size": 5}):
        assert of(rows(), **changes) == (pytest.approx(right), tokens)
    parts = [of(rows(6, first=first)) for first in (0, 6)]
    assert sum(part for part, _ in parts) == pytest.approx(right)
    twice = ft.Dataset.from_rows([row.columns for row in [*rows(), *rows(6)]], TASK, target="gold")
    assert of(twice, batch_size=18) == (pytest.approx(right + parts[0][0]), tokens + parts[0][1])


def test_gradient_checkpointing_computes_twice_and_changes_no_loss(run, monkeypatch):
    passes = [0]

    def count(adapted: Any) -> None:
        mlp = adapted.base_model.model.layers[0].mlp
        # Before, not after: computing again stops as soon as the backward pass has what it needs.
        mlp.register_forward_pre_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))

    after_adapting(monkeypatch, count)
    plain = run(recipe(epochs=1))
    once, passes[0] = passes[0], 0
    saving = run(recipe(epochs=1, gradient_checkpointing=True))
    assert passes[0] == once + len(saving.losses)
    assert saving.losses == pytest.approx(plain.losses, rel=1e-6)


@pytest.mark.parametrize("shared_prefix", [True, False])
def test_a_model_with_short_windows_is_trained_as_transformers_computes_it(run, tokenizer, tmp_path, shared_prefix):
    changes = {"sliding_window": 8, "attention_dropout": 0.5}
    folder = save_tiny(tmp_path / "windows", "mistral", tokenizer, **changes)
    done = run(recipe(batch_size=12, epochs=1, shared_prefix=shared_prefix), model=folder)
    assert not any("one by one" in warning for warning in done.warnings)
    assert done.summary["shared_prefix"] is shared_prefix

    plain = tiny_causal("mistral", attention="eager", vocab_size=len(tokenizer), **changes).eval()
    total = count = 0.0
    for row in rows():
        (one,) = ChatTemplate(tokenizer).encode_examples(row.messages)
        ids = torch.from_numpy(one.ids.astype(np.int64)).unsqueeze(0)
        labels = ids.masked_fill(~torch.from_numpy(one.supervised), -100)
        with torch.no_grad():
            total += float(plain(input_ids=ids, labels=labels).loss) * int(one.supervised.sum())
        count += int(one.supervised.sum())
    assert done.losses[0] == pytest.approx(total / count, rel=1e-5)


def test_a_model_that_brings_its_own_attention_is_trained_row_by_row(run, tokenizer, tmp_path):
    from transformers import GPTJConfig, GPTJForCausalLM

    config = GPTJConfig(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, rotary_dim=8, n_positions=256, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    GPTJForCausalLM(config).save_pretrained(tmp_path / "gptj")
    tokenizer.save_pretrained(tmp_path / "gptj")
    done = run(recipe(), model=str(tmp_path / "gptj"))
    assert "does not support ftkit's attention" in done.warnings[-1]
    assert done.losses[-1] < done.losses[0]


def test_a_part_that_would_never_change_stops_the_run(run, monkeypatch):
    after_adapting(monkeypatch, lambda adapted: adapted.parameters.update(forgotten=torch.nn.Parameter(torch.ones(2))))
    with pytest.raises(TrainingError, match=r"^1 of 29 trainable tensors .*: forgotten"):
        run()


def test_a_loss_that_is_not_finite_stops_the_run(run, monkeypatch, tmp_path):
    def spoil(adapted: Any) -> None:
        adapted.base_model.model.norm.weight.data[0] = torch.inf

    after_adapting(monkeypatch, spoil)
    with pytest.raises(TrainingError, match=r"^step 1: the loss is nan .*learning_rate \(now 0\.01\)"):
        run()
    assert not (tmp_path / "model-0").exists()


def test_a_run_that_is_asked_to_stop_leaves_no_model(tiny_model, tmp_path):
    seen: list[str] = []
    job = Job(recipe(), rows(), None, tiny_model, tmp_path / "model")
    with pytest.raises(TrainingStopped):
        train(job, lambda kind, data: seen.append(kind), should_stop=lambda: seen.count("step") == 2)
    assert seen.count("step") == 2
    assert not (tmp_path / "model").exists()


def test_a_row_that_is_too_long_is_named_and_never_cut(run, tmp_path):
    lines = [{"note": "short", "gold": "a"}, {"note": "long " * 60, "gold": "b"}]
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    data = ft.Dataset.load(file, TASK, target="gold")
    with pytest.raises(DataError, match=r"notes\.jsonl:2: the row has \d+ tokens, and the limit is 80") as caught:
        run(recipe(max_length=80), data=data)
    assert caught.value.place is not None
    assert caught.value.place.line == 2
    # Without a limit of its own the recipe has the model's.
    lines[1]["note"] = "long " * 600
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(DataError, match="the limit is 512"):
        run(data=ft.Dataset.load(file, TASK, target="gold"))


def test_the_paged_optimiser_is_refused_without_a_gpu(run):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(RefusedError, match="paged_adamw_8bit") as caught:
        run(recipe(optimizer="paged_adamw_8bit"))
    assert caught.value.fields == ("optimizer",)
    assert caught.value.backend == "local"


@pytest.mark.parametrize("modules", [("no_such_layer",), ("q_proj", "lm_head")])
def test_layers_that_cannot_be_adapted_are_refused_by_field(run, modules):
    with pytest.raises(RefusedError, match=r"adapter\.target_modules") as caught:
        run(recipe(ft.LoRA(target_modules=modules)))
    assert caught.value.fields == ("adapter.target_modules",)
    assert "it has" in str(caught.value)
    assert "q_proj" in str(caught.value)


def test_of_a_family_that_is_not_known_the_worker_lists_the_layers():
    inner = tiny_causal("llama", attention="eager")
    with pytest.raises(RefusedError, match=r"no linear layer 'nowhere'; it has down_proj, .*q_proj, .*v_proj$"):
        adapt(inner, ft.LoRA(target_modules=("q_proj", "nowhere")), total_steps=1, seed=0)


def test_only_the_named_layers_are_adapted(run):
    done = run(recipe(ft.LoRA(rank=4, target_modules=("q_proj", "v_proj"))))
    names = load_file(done.folder / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in names} == {"q_proj", "v_proj"}
    assert len(names) == 2 * 2 * 2


def test_training_goes_on_from_an_earlier_adapter(run, tiny_model):
    first = run(recipe(epochs=4))
    more = run(recipe(epochs=1, learning_rate=1e-3), model=str(first.folder))
    assert more.losses[0] < np.mean(first.losses[-3:]) + 0.2 < first.losses[0]
    record = json.loads((more.folder / RECORD).read_text(encoding="utf-8"))
    assert (record["base_name"], record["trained_from"]) == (tiny_model, str(first.folder))
    # The result is one adapter on the base, not one on top of another.
    assert (
        load_file(more.folder / "adapter_model.safetensors").keys()
        == load_file(first.folder / "adapter_model.safetensors").keys()
    )
    load_for_answers(find_source(str(more.folder)), precision="fp32", device=CPU)


@pytest.mark.parametrize(
    ("adapter", "fields"),
    [
        (ft.LoRA(rank=8), ("adapter.lora_alpha", "adapter.rank")),
        (ft.Full(), ("adapter",)),
        (ft.AdaLoRA(), ("adapter",)),
    ],
)
def test_an_earlier_adapter_of_another_shape_is_refused_by_field(run, adapter, fields):
    done = run()
    with pytest.raises(RefusedError, match=r"training (cannot continue|continues)") as caught:
        run(recipe(adapter, epochs=20), model=str(done.folder))
    assert caught.value.fields == fields


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_learning_rate_climbs_and_falls(run, schedule):
    done = run(recipe(epochs=4, lr_scheduler_type=schedule, warmup_ratio=0.25))
    rates = [step["learning_rate"] for step in done.of("step")]
    assert rates[:3] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])
    assert rates[3] == pytest.approx(1e-2)
    if schedule == "constant":
        assert set(rates[2:]) == {1e-2}
    else:
        assert all(later < earlier for earlier, later in itertools.pairwise(rates[3:]))
        assert 0 < rates[-1] < 2e-3


@pytest.mark.parametrize("kind", ["lora", "dora", "adalora"])
def test_gradients_of_an_adapter_are_those_of_peft_alone(kind):
    """ftkit's packed forward over PEFT's layers, against PEFT's own model and loss on the rows one by one."""
    from ftkit.modeling.attention import TREE_ATTENTION
    from ftkit.modeling.packed_forward import PackedForward
    from ftkit.modeling.prefix_tree import pack_sequences

    chosen = ADAPTERS[kind].resolve(total_steps=20)
    mine = adapt(tiny_causal("llama", attention=TREE_ATTENTION), chosen, total_steps=20, seed=1)
    theirs = adapt(tiny_causal("llama", attention="eager"), chosen, total_steps=20, seed=1)
    torch.manual_seed(0)
    for parameter, twin in zip(mine.parameters.values(), theirs.parameters.values(), strict=True):
        parameter.data += 0.05 * torch.randn_like(parameter)  # B is zero at first, which would hide much
        twin.data.copy_(parameter.data)

    sequences = family_of_rows()
    total, _ = PackedForward(mine.base_model, CPU, shared=True).loss(pack_sequences(sequences))
    total.backward()
    penalty = mine.tuner.penalty(mine)
    if penalty is not None:
        (len(sequences) * penalty).backward()
    for one in sequences:
        ids = torch.from_numpy(one.ids.astype(np.int64)).unsqueeze(0)
        labels = ids.masked_fill(~torch.from_numpy(one.supervised), -100)
        out = theirs.model(input_ids=ids, labels=labels)
        mean = torch.nn.functional.cross_entropy(out.logits[0, :-1], labels[0, 1:])
        if penalty is not None:  # PEFT's AdaLoRA adds it to the model's own loss
            assert float((out.loss - mean).detach()) == pytest.approx(float(penalty.detach()), rel=1e-4)
        (mean * int(one.supervised.sum()) + (out.loss - mean)).backward()
    for name, parameter in mine.parameters.items():
        wanted = theirs.parameters[name].grad
        assert float((parameter.grad - wanted).norm()) <= 1e-5 * float(wanted.norm()) + 1e-6, name


def test_the_movement_of_a_sample_is_about_that_of_all(monkeypatch):
    """Both matrices of each pair are in the sample: at first only one of the two moves."""
    from ftkit.training import optimizer

    monkeypatch.setattr(optimizer, "_SAMPLE", 20_000)
    parameters = [torch.nn.Parameter(torch.ones(100, 10)) for _ in range(60)]
    movement = optimizer.UpdateRatio(parameters)
    movement.before_update()
    for parameter in parameters[1::2]:
        parameter.data += 0.1
    assert movement.after_update() == pytest.approx(0.1 / 2**0.5, rel=0.15)


def test_each_step_says_how_far_the_weights_moved(run):
    ratios = [step["update_ratio"] for step in run().of("step")]
    assert all(0 < ratio < 1 for ratio in ratios)
