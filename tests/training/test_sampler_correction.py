"""Weights for what another sampler computes otherwise than the trainer, by hand; TRL's are in tests/parity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import ftkit as ft
from ftkit.errors import ConfigError, TrainingError
from ftkit.training.sampler_correction import check_difference, correction_weights, difference_metrics

GRADER = ft.StringCheckGrader(reference="x")
TRAINER = np.log(np.array([0.5, 0.5, 0.2, 0.9], dtype=np.float32))
SAMPLER = np.log(np.array([0.5, 0.1, 0.4, 0.9], dtype=np.float32))


def rft(**changes: Any) -> ft.RFT:
    return ft.RFT(grader=GRADER, **({"rollouts": "vllm", "rollout_correction_clip_max": 2.0} | changes))


@pytest.mark.parametrize(
    ("mode", "weights", "above"),
    [
        ("token_truncate", [1, 2, 0.5, 1], 1),
        ("token_mask", [1, 0, 0.5, 1], 1),
        ("sequence_truncate", [2] * 4, 4),  # 5 · 0.5 = 2.5
        ("sequence_mask", [0] * 4, 4),
        (None, [1] * 4, 0),
    ],
)
def test_weights_are_those_of_truncated_importance_sampling(mode: str | None, weights: list[float], above: int):
    found, count = correction_weights(TRAINER, SAMPLER, rft(rollout_correction=mode))
    assert found == pytest.approx(weights, rel=1e-6)
    assert found.dtype == np.float32
    assert count == above
    metrics = difference_metrics([TRAINER], [SAMPLER], [found], count)
    assert metrics["sampler_difference_max"] == pytest.approx(math.log(5), rel=1e-6)
    assert metrics["correction_weight"] == pytest.approx(np.mean(weights), rel=1e-6)
    assert metrics["correction_limited_share"] == above / 4


def test_a_ratio_that_overflows_is_limited():
    far = np.array([-500.0], dtype=np.float32)
    assert correction_weights(np.zeros(1, np.float32), far, rft())[0].tolist() == [2.0]


def test_a_run_stops_past_the_bound_and_says_the_figures():
    check_difference(3, [], [], rft())
    check_difference(3, [TRAINER], [SAMPLER], rft(max_sampler_difference=0.6))
    check_difference(3, [TRAINER], [SAMPLER], rft(max_sampler_difference=None))
    with pytest.raises(TrainingError, match=r"step 3: .*'vllm'.*0.576 nats.*at most 1.61, 4 tokens.*=0.5,.*Likely"):
        check_difference(3, [TRAINER], [SAMPLER], rft(max_sampler_difference=0.5))
    nothing = np.full(1, np.nan, np.float32)
    with pytest.raises(TrainingError, match="differ by nan"):
        check_difference(3, [nothing], [nothing], rft())


def test_the_models_own_rollouts_have_nothing_to_correct():
    for changed in (
        {"rollout_correction": None},
        {"rollout_correction_clip_max": 2.0},
        {"max_sampler_difference": 1.0},
    ):
        with pytest.raises(ConfigError, match=next(iter(changed))):
            ft.RFT(grader=GRADER, **changed)


def test_a_recipe_keeps_its_rollout_engine():
    from ftkit.recipe import parse_recipe

    assert parse_recipe(rft().model_dump(mode="json")) == rft()
    assert rft().sampled_by == ft.VLLM()
    written = rft(rollouts=ft.VLLM(url="http://127.0.0.1:8000", max_num_seqs=8))
    again = parse_recipe(written.model_dump(mode="json"))
    assert again == written
    assert again.sampled_by.for_rollouts(4, 100, "cpu") == written.rollouts
    assert rft().sampled_by.for_rollouts(12, 100, "cuda") == ft.VLLM(
        max_loras=1, max_lora_rank=16, max_model_len=100, gpu_memory_utilization=0.3
    )
    for wrong, said in (
        ("x", "no rollout engine 'x'"),
        (3, "samples no rollouts"),
        ({"kind": "vllm", "a": 1}, "rollouts.a"),
    ):
        with pytest.raises(ConfigError, match=said):
            rft(rollouts=wrong)
