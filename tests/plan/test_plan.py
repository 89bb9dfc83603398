"""``ft.plan`` and ``ftkit plan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import backend_of
from ftkit.cli.app import app
from ftkit.training.job import Job, train
from tests.tiny import save_tiny

TASK = ft.Task("Read the age from the note.", input="{note}")


def rows(count: int = 12) -> ft.Dataset:
    return ft.Dataset.from_rows(
        [{"note": f"a patient of {30 + n} years" + " sleeps" * (n % 3), "gold": f"{30 + n}"} for n in range(count)],
        TASK,
        target="gold",
    )


def recipe(**changes: Any) -> ft.SFT:
    return ft.SFT(**{"epochs": 2, "batch_size": 5, "adapter": ft.LoRA(rank=4), "precision": "fp32", **changes})


class Silent:
    """A backend that cannot say, as an older plug-in."""

    name, model = "silent", "one"


@pytest.mark.usefixtures("known_speed")
def test_answers_and_rehearsal_take_time_and_the_reference_takes_memory(tiny_model: str) -> None:
    def planned(held_out: ft.Dataset | None = None, **changes: Any) -> Any:
        return backend_of(f"local:{tiny_model}").estimate(recipe(**changes), rows(), held_out)

    plain, watched = planned(), planned(rows(4), eval_steps=1)
    assert planned(rows(4), eval_steps=1, eval_metric="exact_match").seconds > watched.seconds
    preserved = planned(preserve=True)
    assert preserved.seconds_per_step > plain.seconds_per_step
    assert preserved.memory.adapters > plain.memory.adapters


def pairs(count: int = 12) -> ft.Dataset:
    lines = [
        {"note": f"a patient of {30 + n} years", "good": f"{30 + n}", "bad": f"{n} years or more"} for n in range(count)
    ]
    return ft.Dataset.from_rows(lines, TASK, chosen="good", rejected="bad")


RECIPES: dict[str, tuple[Any, ft.Recipe]] = {
    "sft": (rows, recipe()),
    "dpo": (pairs, ft.DPO(epochs=2, batch_size=5, adapter=ft.DoRA(rank=4), precision="fp32")),
    "reward": (pairs, ft.RewardModel(epochs=2, batch_size=5, adapter=ft.LoRA(rank=4), precision="fp32")),
    "reward, full": (pairs, ft.RewardModel(epochs=2, batch_size=5, adapter=ft.Full(), precision="fp32")),
}


@pytest.mark.parametrize(
    "kind", ["sft", "reward, full", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("dpo", "reward"))]
)
def test_the_plan_is_what_the_run_then_reports(kind: str, tiny_model: str, tmp_path: Path) -> None:
    make, chosen = RECIPES[kind]
    data = make()
    found = ft.plan(chosen, data, f"local:{tiny_model}")[f"local:{tiny_model}"]
    events: list[tuple[str, dict[str, Any]]] = []
    train(Job(chosen, data, None, tiny_model, tmp_path / "out"), lambda kind, data: events.append((kind, data)))
    said = next(data for kind, data in events if data.get("message") == "training")
    steps = [data for kind, data in events if kind == "step"]
    assert found.recipe == said["recipe"]
    assert found.steps == said["steps"] == len(steps) == 6
    assert found.trainable_parameters == said["trainable_parameters"]
    assert found.tokens_per_epoch == said["tokens"] == sum(step["tokens"] for step in steps[:3])
    assert found.computed_tokens_per_epoch == sum(step["computed_tokens"] for step in steps[:3])
    assert found.fits
    assert 0 < found.seconds_per_step < 60
    assert found.memory.peak > found.memory.weights == 4 * found.parameters


@pytest.mark.usefixtures("known_speed")
def test_a_larger_budget_takes_more_memory_and_checkpointing_less(tiny_model: str) -> None:
    def peak(**changes: Any) -> int:
        return ft.plan(recipe(**changes), rows(60), f"local:{tiny_model}").entries[0].estimate.memory.activations

    small, large = peak(batch_size=60, max_batch_tokens=200), peak(batch_size=60)
    assert small < large / 2
    assert peak(batch_size=60, gradient_checkpointing=True) < large


@pytest.mark.usefixtures("known_speed")
def test_validation_takes_time_and_no_steps(tiny_model: str) -> None:
    without, watched = (
        ft.plan(recipe(eval_steps=1), rows(), f"local:{tiny_model}", validation=one).entries[0].estimate
        for one in (None, rows(30))
    )
    assert watched.steps == without.steps
    assert watched.seconds > 1.2 * watched.seconds_per_step * watched.steps


@pytest.mark.usefixtures("known_speed")
def test_each_backend_answers_for_itself(tiny_model: str, tokenizer: Any, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "gemma3", "gemma3", tokenizer)
    plan = ft.plan(recipe(), rows(), [f"local:{tiny_model}", Silent(), f"local:{other}", "local:./nowhere"])
    assert [entry.estimate is not None for entry in plan.entries] == [True, False, False, False]
    assert plan.entries[1].problem == "the backend 'silent' makes no estimates"
    assert "model_type 'gemma3_text' is not known" in str(plan.entries[2].problem)
    assert "no folder './nowhere'" in str(plan.entries[3].problem)
    with pytest.raises(ft.ConfigError, match="silent:one: the backend 'silent' makes no estimates"):
        plan["silent:one"]
    text = str(plan)
    assert "silent:one: no estimate: the backend" in text
    assert "peak memory" in text
    assert ft.Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.usefixtures("known_speed")
def test_what_the_backend_refuses_is_its_problem(tiny_model: str) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    paged = recipe(optimizer="paged_adamw_8bit")
    assert "no CUDA GPU" in str(ft.plan(paged, rows(), f"local:{tiny_model}").entries[0].problem)
    elsewhere = ft.plan(paged, rows(), f"local:{tiny_model}", device="a100-80gb").entries[0].estimate
    assert elsewhere.device == "NVIDIA A100 SXM"
    assert elsewhere.device_memory == 80 * 2**30


def test_a_host_that_takes_the_run_is_a_place_where_it_fits() -> None:
    assert ft.plan(ft.SFT(), rows(), "openai:gpt-4.1-mini-2025-04-14").fits
    assert not ft.plan(ft.RewardModel(), pairs(), "openai:gpt-4.1-mini-2025-04-14").fits


def test_rows_share_passes_with_windows_of_attention(tokenizer: Any, tmp_path: Path) -> None:
    name = save_tiny(tmp_path / "mistral", "mistral", tokenizer, sliding_window=8)
    found = ft.plan(recipe(), rows(), f"local:{name}").entries[0].estimate
    assert found.computed_tokens_per_epoch < found.tokens_per_epoch
    assert not any("one by one" in note for note in found.notes)


@pytest.mark.usefixtures("known_speed")
def test_many_rows_are_sampled_and_that_is_said(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftkit.training.estimation import local_estimate as prediction

    whole = ft.plan(recipe(), rows(100), f"local:{tiny_model}").entries[0].estimate
    monkeypatch.setattr(prediction, "SAMPLE", 40)
    part = ft.plan(recipe(), rows(100), f"local:{tiny_model}").entries[0].estimate
    assert "tokens counted on 40 of 100 rows" in part.notes
    assert part.steps == whole.steps
    assert part.tokens_per_epoch == pytest.approx(whole.tokens_per_epoch, rel=0.05)
    assert part.computed_tokens_per_epoch == pytest.approx(whole.computed_tokens_per_epoch, rel=0.1)


def test_wrong_arguments_raise() -> None:
    with pytest.raises(ft.ConfigError, match="no GPU 'h100' whose speed is known; known are a100-80gb"):
        ft.plan(recipe(), rows(), "local:smollm2-135m", device="h100")
    with pytest.raises(ft.ConfigError, match="there is no backend 'nowhere'"):
        ft.plan(recipe(), rows(), "nowhere:model")
    with pytest.raises(ft.ConfigError, match="name at least one"):
        ft.plan(recipe(), rows(), [])
    with pytest.raises(ft.DataError, match="no rows"):
        ft.plan(recipe(), rows().take(0), "local:smollm2-135m")


@pytest.mark.usefixtures("known_speed")
def test_gpus_of_ones_own(tiny_model: str, ftkit_home: Path) -> None:
    file = ftkit_home / "catalog.toml"
    file.write_text(
        '[[gpu]]\nid = "mine"\nname = "A small one"\nmemory_gib = 0.5\nper_hour = 0\n'
        'source = "me"\nas_of = 2026-11-24\n'
        '[[gpu_rates]]\nid = "mine"\nbf16_tflops = 1\nfp32_tflops = 1\nbandwidth_gb_per_s = 10\n'
        'source = "me"\nas_of = 2026-11-24\n'
    )
    plan = ft.plan(recipe(), rows(), f"local:{tiny_model}", device="mine")
    assert not plan.fits
    assert "does NOT fit" in str(plan)
    file.write_text('[[gpu_rates]]\nid = "mine"\nbf16_tflops = 0\n')
    with pytest.raises(ft.ConfigError, match=r"catalog\.toml: gpu_rates row 1: source"):
        ft.plan(recipe(), rows(), f"local:{tiny_model}", device="mine")


def test_the_speed_is_measured_once(tiny_model: str, ftkit_home: Path) -> None:
    ft.plan(recipe(), rows(), f"local:{tiny_model}")
    file = ftkit_home / "speed.json"
    first = file.read_text()
    known = json.loads(first)
    assert len(known) == 1
    quiet = {key: {name: one for name, one in numbers.items() if name != "busy"} for key, numbers in known.items()}
    file.write_text(first := json.dumps(quiet))
    plan = ft.plan(recipe(), rows(), f"local:{tiny_model}")
    assert file.read_text() == first
    assert "other work" not in str(plan)


def test_what_a_busy_machine_measured_is_measured_again(tiny_model: str, ftkit_home: Path) -> None:
    ft.plan(recipe(), rows(), f"local:{tiny_model}")
    file = ftkit_home / "speed.json"
    [[machine, numbers]] = json.loads(file.read_text()).items()
    slow = {name: one * (100 if name == "call" else 0.01) for name, one in numbers.items()}
    file.write_text(json.dumps({machine: {**slow, "busy": 1.0}}))
    ft.plan(recipe(), rows(), f"local:{tiny_model}")
    [again] = json.loads(file.read_text()).values()
    assert all(again[name] > 2 * one for name, one in slow.items() if name not in ("call", "busy"))
    assert again["call"] < slow["call"]


@pytest.mark.slow
def test_numbers_in_another_form_are_measured_anew(tiny_model: str, ftkit_home: Path) -> None:
    ft.plan(recipe(), rows(), f"local:{tiny_model}")
    file = ftkit_home / "speed.json"
    known = json.loads(file.read_text())
    file.write_text(json.dumps({key: {"written by": "another version"} for key in known}))
    ft.plan(recipe(), rows(), f"local:{tiny_model}")
    assert json.loads(file.read_text()).keys() == known.keys()
    file.write_text("not JSON")
    assert backend_of(f"local:{tiny_model}").estimate(recipe(), rows(), None).seconds_per_step > 0


@pytest.mark.usefixtures("known_speed")
def test_from_the_command_line(tiny_model: str, tmp_path: Path) -> None:
    file, task = tmp_path / "rows.jsonl", tmp_path / "task.yaml"
    file.write_text("".join(json.dumps({"note": f"{n} years", "gold": str(n)}) + "\n" for n in range(12)))
    TASK.to_yaml(task)
    words = ["plan", "--data", file, "--task", task, "--target", "gold", "--backend", f"local:{tiny_model}"]

    def typed(*more: str) -> Any:
        return CliRunner().invoke(app, [*map(str, words), *more])

    shown = typed("--set", "epochs=2", "--adapter", "dora", "--validation", str(file))
    assert shown.exit_code == 0, shown.stderr
    assert "12 rows" in shown.stdout
    assert "dora" in shown.stdout
    whole = json.loads(typed("--json", "--device", "h100-80gb", "--backend", "local:./nowhere").stdout)
    assert whole["entries"][0]["estimate"]["device"] == "NVIDIA H100 SXM"
    assert "nowhere" in whole["entries"][1]["problem"]
    assert typed("--device", "h100").exit_code == 2
    with file.open("a") as more:
        more.write('{"note": "none", "gold": " "}\n')
    refused = typed()
    assert refused.exit_code == 1
    assert "rows.jsonl:13: D003" in refused.stdout
    assert typed("--no-lint").stdout != refused.stdout
    nowhere = CliRunner().invoke(app, [*map(str, words[:-1]), "local:./nowhere"])
    assert (nowhere.exit_code, "no estimate" in nowhere.stdout) == (1, True)


GRADED = ft.StringCheckGrader(input="{{sample.output_text}}", reference="{{item.gold}}")


def reinforced(**changes: Any) -> ft.RFT:
    plain = {"batch_size": 5, "num_generations": 3, "max_output_tokens": 6, "adapter": ft.LoRA(rank=4)}
    return ft.RFT(grader=GRADED, **{**plain, "epochs": 2, "precision": "fp32", "probe_prompts": 0, **changes})


@pytest.mark.usefixtures("known_speed")
def test_reinforcement_is_planned_as_if_every_answer_were_as_long_as_it_may_be(tiny_model: str) -> None:
    [entry] = ft.plan(reinforced(), rows(), f"local:{tiny_model}", device="l4-24gb").entries
    found = entry.estimate
    assert found is not None, entry.problem
    assert found.steps == 6
    assert found.drawn_tokens_per_epoch == 12 * 3 * 6
    # Each prompt is computed once, for its three answers and with what it shares with others.
    assert found.drawn_tokens_per_epoch < found.computed_tokens_per_epoch < found.tokens_per_epoch
    prompts = (
        ft.plan(reinforced(num_generations=2), rows(), f"local:{tiny_model}", device="l4-24gb").entries[0].estimate
    )
    assert found.tokens_per_epoch / 3 == prompts.tokens_per_epoch / 2
    # Two layers, keys and values of two heads of 16 numbers in float32, of 15 answers with their prompts.
    longest = found.tokens_per_epoch // 36 + 6
    assert 15 * 512 * 0.8 * longest < found.memory.cache < 15 * 512 * 1.2 * longest
    assert found.memory.peak >= found.memory.drawing > found.memory.weights
    assert any("as long as max_output_tokens allows" in note for note in found.notes)
    text = str(ft.plan(reinforced(), rows(), f"local:{tiny_model}", device="l4-24gb"))
    assert "num_generations    3" in text
    assert "  generated" in text
    assert "num_generations" not in str(ft.plan(recipe(), rows(), f"local:{tiny_model}", device="l4-24gb"))


@pytest.mark.usefixtures("known_speed")
def test_what_reinforcement_does_besides_takes_time(tiny_model: str) -> None:
    def seconds(held_out: ft.Dataset | None = None, **changes: Any) -> float:
        return (
            ft.plan(reinforced(**changes), rows(), f"local:{tiny_model}", validation=held_out, device="l4-24gb")
            .entries[0]
            .estimate.seconds
        )

    plain = seconds()
    assert seconds(max_output_tokens=12) > 1.4 * plain
    assert seconds(beta=0.1) > plain
    assert seconds(probe_prompts=12) > 1.2 * plain
    assert seconds(rows(), eval_steps=1) > 1.2 * plain
    # The same answers for two steps: twice the steps, and more than half as long a step.
    assert plain < seconds(num_iterations=2) < 2 * plain


@pytest.mark.usefixtures("known_speed")
def test_a_prompt_without_room_for_its_answer_is_a_problem(tiny_model: str) -> None:
    [entry] = ft.plan(reinforced(max_output_tokens=500), rows(), f"local:{tiny_model}", device="l4-24gb").entries
    assert "needs 500 more for its answer" in str(entry.problem)


def test_hosts_say_what_an_hour_of_reinforcement_costs() -> None:
    evaluator = ft.RFT(grader=ft.EvaluatorGrader(evaluator="accounts/me/evaluators/e"))
    name = "fireworks:accounts/fireworks/models/qwen3-8b"
    plan = ft.plan(evaluator, rows(), name)
    [entry] = plan.entries
    assert entry.quote is not None, entry.problem
    assert (entry.quote.training_usd, entry.quote.training_usd_per_hour) == (None, 7.0)
    assert "$7.00 per hour" in str(plan)
    assert "training is charged by the hour" in str(plan)
