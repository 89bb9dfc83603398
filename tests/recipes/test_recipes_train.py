"""Each recipe that ftkit comes with does its job: on rows of the example it is for, through the whole engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

import ftkit as ft
from ftkit.recipe import RecipeFacts

ROOT = Path(__file__).parents[2]

VISIT = {
    "type": "object",
    "properties": {
        "patient_name": {"type": "string"},
        "age": {"type": "integer"},
        "diagnosis": {"type": "string"},
        "medication": {"type": ["string", "null"]},
        "follow_up_days": {"type": ["integer", "null"]},
    },
    "required": ["patient_name", "age", "diagnosis", "medication", "follow_up_days"],
    "additionalProperties": False,
}
Queue = Literal["billing", "bug", "how_to", "cancellation", "lost_property", "praise"]

TONE = ft.Task("Say it in the house's tone.", input="{draft}")
PAIR = {"chosen": "chosen", "rejected": "rejected"}

JOBS: dict[str, tuple[str, dict[str, str], ft.Task]] = {
    "extract-json": (
        "visits/visits.jsonl",
        {"target": "record"},
        ft.Task("Extract the visit.", input="{note}", output=VISIT),
    ),
    "full-small": (
        "visits/visits.jsonl",
        {"target": "record"},
        ft.Task("Extract the visit.", input="{note}", output=VISIT),
    ),
    "classify": (
        "triage/messages.jsonl",
        {"target": "label"},
        ft.Task("Sort the message.", input="{message}", output=Queue),
    ),
    "tone": ("tone/replies.jsonl", {"target": "reply"}, TONE),
    "dpo-tone": ("preferences/replies.jsonl", PAIR, TONE),
    "reward-tone": ("preferences/replies.jsonl", PAIR, TONE),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("dpo-tone", "extract-json") else pytest.mark.slow)
        for name in sorted(JOBS)
    ],
)
def test_a_recipe_trains_on_its_example(name: str, tiny_model: str, tmp_path: Path) -> None:
    from ftkit.training.job import Job, train

    file, answers, task = JOBS[name]
    recipe = ft.load_recipe(ROOT / "recipes" / f"{name}.yaml").model_copy(update={"epochs": 2})
    rows = ft.Dataset.load(ROOT / "examples" / file, task, **answers).take(16)
    events: list[tuple[str, dict[str, Any]]] = []
    train(Job(recipe, rows, None, tiny_model, tmp_path / "model"), lambda kind, data: events.append((kind, data)))

    losses = [data["loss"] for kind, data in events if kind == "step"]
    assert len(losses) == recipe.resolve(RecipeFacts(rows=16)).total_steps(16)
    epoch = len(losses) // 2
    assert sum(losses[epoch:]) < sum(losses[:epoch])  # the same rows, an epoch later
    if recipe.kind == "reward":
        assert len(ft.Scorer(f"local:{tmp_path / 'model'}").score_many([row.messages for row in rows])) == 16
        return
    # What came out answers through the same door as any other model, and knows its task's shape of prompt.
    model = ft.Model(f"local:{tmp_path / 'model'}", task, sampling=ft.Sampling(max_output_tokens=4))
    report = ft.evaluate(model, rows.take(2), probes=False, progress=False)
    assert [row.finish_reason in ("stop", "length") for row in report.rows] == [True, True]
    assert [row.input_tokens for row in report.rows] == [len(_prompt(tiny_model, row.prompt)) for row in report.rows]


def test_preferences_become_a_reward_that_is_learned_from(tiny_model: str, tmp_path: Path) -> None:
    from ftkit.backends.grading import setting_of
    from ftkit.training.job import Job, train

    pairs = ft.Dataset.load(ROOT / "examples" / "preferences/replies.jsonl", TONE, **PAIR).take(16)
    scored, written = tmp_path / "reward", tmp_path / "model"
    reward = ft.load_recipe(ROOT / "recipes" / "reward-tone.yaml")
    train(Job(reward, pairs, None, tiny_model, scored), lambda kind, data: None)

    recipe = ft.load_recipe(ROOT / "recipes" / "rlhf-tone.yaml")
    assert isinstance(recipe, ft.RFT)
    small = {"epochs": 1, "num_generations": 4, "max_output_tokens": 8, "probe_prompts": 2}
    recipe = recipe.model_copy(update={"grader": ft.RewardModelGrader(model=f"local:{scored}"), **small})
    events: list[tuple[str, dict[str, Any]]] = []
    train(
        Job(recipe, pairs.take(8), None, tiny_model, written),
        lambda kind, data: events.append((kind, data)),
        setting=setting_of(recipe),
    )
    steps = [data for kind, data in events if kind == "step"]
    assert len(steps) == 2
    for step in steps:
        assert step["reward_std"] > 0
        assert step["grader_errors"] == {}
        assert step["kl"] >= 0
    scores = ft.Scorer(f"local:{scored}").score_many([row.messages for row in pairs])
    assert min(scores) - 5 < steps[0]["reward"] < max(scores) + 5
    assert (written / "adapter_model.safetensors").is_file()


def _prompt(folder: str, messages: Any) -> list[int]:
    """Token ids as transformers itself renders the prompt."""
    from transformers import AutoTokenizer

    ids: list[int] = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        list(messages), add_generation_prompt=True, return_dict=False
    )
    return ids
