"""Reinforcement: the formulas are those of the papers, and a model learns from rewards."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ftkit as ft
from ftkit.errors import RefusedError
from ftkit.graders import FunctionGrader, Grade
from ftkit.recipe import RecipeFacts
from ftkit.training.job import Job, train
from ftkit.training.losses.advantages import advantages, token_weights
from ftkit.training.losses.grpo import policy_losses
from ftkit.training.reward_signal import RewardSignal
from ftkit.training.rollout_groups import repetition
from ftkit.training.sample_log import SampleLog
from tests.tiny import save_tiny
from tests.training import worth
from tests.training.test_training import ADAPTERS, TASK

LETTERS = FunctionGrader(function=worth.worth)
RARE = FunctionGrader(function=worth.rare)


def rft(**changes: Any) -> ft.RFT:
    plain = {
        "grader": LETTERS, "epochs": 2, "batch_size": 3, "num_generations": 4, "max_output_tokens": 10,
        "learning_rate": 2e-2, "precision": "fp32", "adapter": ADAPTERS["lora"], "probe_prompts": 2,
    }  # fmt: skip
    return ft.RFT(**(plain | changes))


def prompts(count: int = 6, first: int = 0) -> ft.Dataset:
    return ft.Dataset.from_rows([{"note": f"bed {n % 5}, {30 + n} years"} for n in range(first, first + count)], TASK)


class Ran:
    def __init__(
        self, recipe: ft.RFT, model: str, output: Path, data: ft.Dataset, validation: ft.Dataset | None = None
    ):
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.summary = train(Job(recipe, data, validation, model, output), lambda *event: self.events.append(event))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for name, data in self.events if name == kind]


def test_advantages_are_those_of_the_papers():
    rewards = np.array([[1.0, 0.0, 0.0, 3.0], [2.0, 2.0, 2.0, 2.0]])
    deviation = math.sqrt((0 + 1 + 1 + 4) / 3)
    found = advantages(rewards, rft())
    assert found[0] == pytest.approx(np.array([0, -1, -1, 2]) / (deviation + 1e-4))
    assert found[1].tolist() == [0, 0, 0, 0]
    assert advantages(rewards, rft(advantage="dr_grpo"))[0].tolist() == [0, -1, -1, 2]
    # Each reward less the mean of the three others.
    wanted = [1 - 3 / 3, 0 - 4 / 3, 0 - 4 / 3, 3 - 1 / 3]
    assert advantages(rewards, rft(advantage="rloo"))[0] == pytest.approx(wanted)


def test_the_sum_over_tokens_is_divided_as_the_papers_say():
    lengths = [2, 0, 6]  # the second is masked
    assert token_weights(lengths, rft(loss_type="dapo")) == [1 / 8] * 3
    assert token_weights(lengths, rft(loss_type="grpo")) == [1 / 6, 1 / 3, 1 / 18]
    assert token_weights(lengths, rft(loss_type="dr_grpo", max_output_tokens=10)) == [1 / 30] * 3


def test_ratios_are_clipped_where_they_would_be_rewarded():
    ratios = torch.tensor([1.5, 0.5, 1.1, 1.5, 0.5, 1.0])
    owners = torch.tensor([0, 0, 0, 1, 1, 1])
    judged = torch.tensor([2.0, -1.0])
    now = ratios.log()
    found = policy_losses(now, torch.zeros(6), None, judged, owners, rft(epsilon=0.2, epsilon_high=0.28))
    # A = 2: −min(3, 2·1.28), −min(1, 2·0.8), −2.2; A = −1: −min(−1.5, −1.28), −min(−0.5, −0.8), 1.
    torch.testing.assert_close(found.losses, torch.tensor([-2.56, -1.0, -2.2, 1.5, 0.8, 1.0]))
    assert found.clipped.tolist() == [1, 0, 0, 0, 1, 0]
    assert found.divergence is None


def test_gspo_takes_the_geometric_mean_of_an_answers_ratios():
    owners = torch.tensor([0, 0, 1])
    now = torch.tensor([0.2, 0.4, -0.1], requires_grad=True)
    recipe = rft(importance_sampling_level="sequence", loss_type="grpo", epsilon=0.5)
    found = policy_losses(now, torch.zeros(3), None, torch.tensor([1.0, -2.0]), owners, recipe)
    torch.testing.assert_close(found.losses.detach(), torch.tensor([-math.exp(0.3)] * 2 + [2 * math.exp(-0.1)]))
    weights = torch.tensor(token_weights([2, 1], recipe))[owners]
    (found.losses * weights).sum().backward()
    # Of the mean over answers of −s·A with s = exp(mean change): −s·A/length for each token.
    wanted = [-math.exp(0.3) / 2 / 2, -math.exp(0.3) / 2 / 2, 2 * math.exp(-0.1) / 2]
    torch.testing.assert_close(now.grad, torch.tensor(wanted))


def test_the_divergence_is_k3():
    now, reference = torch.tensor([0.0, -1.0]), torch.tensor([math.log(2), -1.0])
    now.requires_grad_()
    owners, judged, old = torch.tensor([0, 0]), torch.zeros(1), now.detach()
    plain = policy_losses(now, old, reference, judged, owners, rft(beta=0.5, use_bias_correction_kl=False))
    torch.testing.assert_close(plain.divergence, torch.tensor([2 - math.log(2) - 1, 0.0]))
    torch.testing.assert_close(plain.losses.detach(), 0.5 * plain.divergence)
    # d/dx (e^d − d − 1) with d = reference − x is 1 − e^d; of ρ times it, at ρ = 1, it is that plus the term itself,
    # −d: the gradient of KL by the log-derivative.
    (slope,) = torch.autograd.grad(plain.losses.sum(), now)
    torch.testing.assert_close(slope, 0.5 * torch.tensor([1 - 2.0, 0.0]))
    corrected = policy_losses(now, old, reference, judged, owners, rft(beta=0.5))
    torch.testing.assert_close(corrected.losses, plain.losses)
    (slope,) = torch.autograd.grad(corrected.losses.sum(), now)
    torch.testing.assert_close(slope, 0.5 * torch.tensor([-math.log(2), 0.0]))


@pytest.fixture(scope="module")
def decided(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random model with favourites, so that it says the same things again and there is something to choose from."""
    return save_tiny(tmp_path_factory.mktemp("decided"), "llama", tokenizer, initializer_range=0.5)


def test_a_model_learns_what_is_rewarded(decided: str, tmp_path: Path):
    recipe = rft(epochs=12, batch_size=6, num_generations=8, max_output_tokens=2, eval_steps=6, beta=1e-3)
    ran = Ran(recipe, decided, tmp_path / "model", prompts(), prompts(3, 50))
    steps = ran.of("step")
    assert [step["step"] for step in steps] == list(range(1, 13))
    first, last = (sum(step["reward"] for step in part) / 3 for part in (steps[:3], steps[-3:]))
    assert last > 1.5 * first
    assert steps[0]["answers"] == 48
    assert steps[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert steps[-1]["kl"] > steps[1]["kl"]
    assert max(step["sampler_difference"] for step in steps) < 1e-4
    assert all(abs(step["sampler_ratio"] - 1) < 1e-4 for step in steps)
    assert steps[0]["entropy"] > steps[-1]["entropy"] > 0
    looks = [look["reward"] for look in ran.of("validation")]
    assert len(looks) == 3
    assert ran.summary["validation_reward_before"] == looks[0]
    assert ran.summary["validation_reward"] == max(looks[1:]) > looks[0]
    kept = SampleLog(tmp_path / "samples.jsonl").read()
    assert [(one.step, one.which) for one in kept[:3]] == [(1, "best"), (1, "worst"), (2, "best")]
    assert len(kept) == 24
    assert all(a.reward >= b.reward for a, b in zip(kept[::2], kept[1::2], strict=True))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"grader": FunctionGrader(function=worth.same)}, "those of each prompt have equal rewards .mean 0.500"),
        ({"grader": FunctionGrader(function=worth.broken)}, "100% could not be graded; the first: .*no such bed"),
        ({"mask_truncated_completions": True, "max_output_tokens": 1}, "none ended within max_output_tokens"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_the_reason(changes, problem, tiny_model: str, tmp_path: Path):
    with pytest.raises(RefusedError, match=f"nothing can be learned: .*{problem}"):
        Ran(rft(**changes), tiny_model, tmp_path / "model", prompts())


def test_the_refusal_can_be_overridden_and_what_fails_is_counted(tiny_model: str, tmp_path: Path):
    recipe = rft(grader=FunctionGrader(function=worth.broken), probe_prompts=0, epochs=1)
    ran = Ran(recipe, tiny_model, tmp_path / "model", prompts())
    assert [step["grader_errors"] for step in ran.of("step")] == [{"other_error": 12}] * 2
    assert [step["no_signal_share"] for step in ran.of("step")] == [1.0] * 2
    assert [step["update_ratio"] for step in ran.of("step")] == [0.0] * 2
    assert any("100% of answers could not be graded" in data["message"] for data in ran.of("warning"))


def test_steps_without_signal_are_no_sign_of_dead_weights(tiny_model: str, tmp_path: Path):
    same = FunctionGrader(function=worth.same)
    ran = Ran(rft(grader=same, probe_prompts=0, beta=0.1, epochs=1), tiny_model, tmp_path / "model", prompts(9))
    assert [step["kl"] for step in ran.of("step")] == [0.0] * 3


def test_groups_that_tell_nothing_are_replaced(tiny_model: str, tmp_path: Path):
    plain, dynamic = (
        Ran(
            rft(grader=RARE, epochs=1, max_output_tokens=2, dynamic_sampling=times),
            tiny_model,
            tmp_path / str(times),
            prompts(30),
        )
        for times in (0, 2)
    )
    mute = [step["no_signal_share"] for step in plain.of("step")]
    assert sum(mute) > 0
    assert sum(step["resampled_groups"] for step in dynamic.of("step")) > 0
    learned = [sum(step["supervised_tokens"] for step in ran.of("step")) for ran in (plain, dynamic)]
    assert learned[1] > learned[0]


def test_a_group_shares_its_prompt(tiny_model: str, tmp_path: Path):
    step = Ran(rft(epochs=1, batch_size=1), tiny_model, tmp_path / "model", prompts(2)).of("step")[0]
    assert step["computed_tokens"] < 0.6 * step["tokens"]


def test_the_same_is_told_without_a_run(tiny_model: str):
    recipe = rft(num_generations=3)
    signal = ft.reward_signal(recipe, prompts(), backend=f"local:{tiny_model}", prompts=4)
    assert (signal.prompts, signal.generations) == (4, 3)
    assert signal.variance_within > 0
    assert signal.success_rate is None
    assert signal.problem() is None
    mute = ft.reward_signal(
        rft(grader=FunctionGrader(function=worth.same)), prompts(), backend=f"local:{tiny_model}", prompts=1
    )
    assert "equal rewards" in str(mute.problem())


def test_signal_is_summed_up():
    grades = [[Grade(1.0), Grade(0.0)], [Grade(0.0, error="sample_parse_error", detail="no JSON"), Grade(0.0)]]
    found = RewardSignal.of(grades, [False, True, False, False], rates=True)
    assert (found.reward, found.no_signal_share, found.success_rate, found.solved_share) == (0.25, 0.5, 0.25, 0.5)
    assert (found.error_rate, found.errors, found.first_error) == (0.25, {"sample_parse_error": 1}, "no JSON")
    assert found.variance_within == pytest.approx(0.125)
    assert found.problem() is None
    assert "no signal       50%" in str(found)
    full = RewardSignal.of([[Grade(1.0)] * 2] * 2, [False] * 4, rates=True)
    assert "has the full reward already" in str(full.problem())


def test_repetition_is_the_share_of_what_came_before():
    assert repetition([1, 2, 3]) == 0
    assert repetition(list(range(9))) == 0
    assert repetition([7] * 8) == pytest.approx(4 / 5)


def test_a_recipe_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="weights answers"):
        rft(importance_sampling_level="sequence", loss_type="dapo")
    assert rft(num_iterations=3).resolve(RecipeFacts(rows=6)).total_steps(6) == 12
