"""Evaluation by answers during training: the report's metric, on the current weights, decides which model stays."""

from __future__ import annotations

from typing import Any

import pytest

import ftkit as ft
from ftkit.errors import RefusedError
from ftkit.evaluation.metrics import metric
from ftkit.graders import FunctionGrader
from ftkit.recipe import parse_recipe
from ftkit.training.recipe_check import check_recipe
from tests.training import worth
from tests.training.test_pairs import dpo, pairs
from tests.training.test_pairs import reward as reward_model
from tests.training.test_training import TASK, Trained, recipe, rows

LETTERS = FunctionGrader(function=worth.worth)
LOOKS = {"epochs": 2, "eval_steps": 2, "eval_max_output_tokens": 12}


def looks(done: Any, name: str) -> list[Any]:
    return [data[name] for kind, data in done.events if kind == "validation"]


def test_every_look_has_the_metric_beside_the_loss_and_the_best_model_goes_by_it(tiny_model, tmp_path):
    chosen = recipe(eval_metric=LETTERS, **LOOKS)
    done = Trained(tiny_model, tmp_path / "model", chosen, rows(), rows(4, first=40))
    values, losses = looks(done, LETTERS.name), looks(done, "loss")
    assert looks(done, "step") == [0, 2, 4, 6]
    assert set(looks(done, "eval_metric")) == {LETTERS.name}
    assert looks(done, "answered") == [4] * 4
    best = max(range(1, 4), key=lambda at: (values[at], -losses[at]))
    summary = done.summary
    assert summary.get("best_step", 6) == 2 * best
    assert summary[f"validation_{LETTERS.name}_before"] == values[0]
    assert summary[f"validation_{LETTERS.name}"] == values[best]
    assert summary["validation_loss_before"] == losses[0]
    assert summary["validation_loss"] == losses[best]
    # The report of the result on the same rows says the same: one engine, one metric.
    model = ft.Model(f"local:{done.folder}", TASK)
    report = ft.evaluate(
        model, rows(4, first=40), metrics=[LETTERS], sampling=ft.Sampling(max_output_tokens=12), probes=None
    )
    assert report[LETTERS.name].value == pytest.approx(values[best], abs=1e-9)


def test_of_equal_values_the_lower_loss_is_better(tiny_model, tmp_path):
    done = Trained(
        tiny_model, tmp_path / "model", recipe(eval_metric="exact_match", **LOOKS), rows(), rows(4, first=40)
    )
    values, losses = looks(done, "exact_match"), looks(done, "loss")
    assert set(values) == {0.0}  # far too few steps to be right
    assert done.summary.get("best_step", 6) == 2 * min(range(1, 4), key=losses.__getitem__)


def test_a_lower_value_is_better_where_the_metric_says_so(tiny_model, tmp_path, monkeypatch):
    from ftkit.evaluation.metrics import METRICS

    monkeypatch.setattr(METRICS, "_registered", dict(METRICS._registered))
    metric("letters_e", higher_is_better=False)(lambda row: row.text.count("e") / max(1, len(row.text)))
    done = Trained(tiny_model, tmp_path / "model", recipe(eval_metric="letters_e", **LOOKS), rows(), rows(4, first=40))
    assert done.summary["validation_letters_e"] == min(looks(done, "letters_e")[1:])


def test_pairs_are_evaluated_by_answers_too(tiny_model, tmp_path):
    from tests.training.test_pairs import Trained as TrainedOnPairs

    chosen = dpo(epochs=1, eval_metric="exact_match", eval_max_output_tokens=8, eval_rows=2)
    done = TrainedOnPairs(chosen, tiny_model, tmp_path / "model", pairs(8), pairs(4, first=30))
    assert set(looks(done, "answered")) == {2}
    assert "validation_exact_match" in done.summary


@pytest.mark.parametrize(
    ("chosen", "validation", "says"),
    [
        (recipe(eval_metric="exact_match"), None, "eval_metric needs validation rows"),
        (recipe(eval_metric="record_exact"), rows(2), r'no metric "record_exact".*exact_match'),
        (recipe(eval_metric="text"), rows(2), "stands for several metrics; name one of exact_match"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_start(chosen, validation, says, tiny_model):
    with pytest.raises(RefusedError, match=says) as refused:
        check_recipe(chosen, tiny_model, rows(), validation)
    assert refused.value.fields == ("eval_metric",)


def test_a_reward_model_has_no_answers_to_evaluate(tiny_model):
    with pytest.raises(RefusedError, match="generates no text"):
        check_recipe(reward_model(eval_metric="exact_match"), tiny_model, pairs(), pairs(2))


def test_rows_without_targets_are_refused_where_the_metric_needs_them(tiny_model, tmp_path):
    prompts = ft.Dataset.from_rows([{"note": "bed 1"}], TASK)
    with pytest.raises(RefusedError):
        Trained(tiny_model, tmp_path / "model", recipe(eval_metric="exact_match", epochs=1), rows(), prompts)


def test_a_metric_survives_yaml_and_what_is_none_is_refused():
    for chosen in (
        recipe(eval_metric="record_exact"),
        recipe(
            eval_metric=ft.StringCheckGrader(
                name="same", input="{{sample.output_text}}", reference="{{item.gold}}", operation="eq"
            )
        ),
    ):
        assert parse_recipe(chosen.model_dump(mode="json")) == chosen
    with pytest.raises(ft.ConfigError, match=r"len is neither .*register it with @ftkit\.evaluation\.metric"):
        recipe(eval_metric=len)
    with pytest.raises(ft.ConfigError, match="eval_metric: there is no grader type 'nope'"):
        recipe(eval_metric={"type": "nope"})
