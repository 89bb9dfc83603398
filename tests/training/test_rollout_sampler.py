"""An engine of a script samples the rollouts, and says other log-probabilities than the trainer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ftkit.errors import RefusedError
from ftkit.recipe import ROLLOUTS, RolloutEngine, plugin_modules
from ftkit.recipe.rollout_engines import OwnRollouts
from ftkit.training.recipe_check import check_recipe
from ftkit.training.rollout_groups import SampledTokens
from ftkit.training.rollout_sampler import OwnSampler
from tests.training.test_grpo import Ran, prompts, rft

SURE = 0.05
"""By how much the engine takes each token for likelier than the trainer does, in nats."""


class SureSampler(OwnSampler):
    def sample(self, prompts: Any, **options: Any) -> list[SampledTokens]:
        found = super().sample(prompts, **options)
        return [one._replace(logprobs=tuple(value + SURE for value in one.logprobs)) for one in found]


class Sure(RolloutEngine):
    sampler_class: ClassVar[str | type] = SureSampler

    kind: str = "sure"
    most: int = 8

    def problem(self, recipe: Any) -> tuple[str, tuple[str, ...]] | None:
        many = recipe.num_generations > self.most
        return (f"at most {self.most} answers", ("rollouts", "num_generations")) if many else None


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    ROLLOUTS.register("sure", Sure)
    yield
    ROLLOUTS.unregister("sure")


def test_the_gradient_is_weighted_by_the_probabilities_of_trainer_and_sampler(tiny_model: str, tmp_path: Path) -> None:
    own, sure = (
        Ran(rft(epochs=1, probe_prompts=0, rollouts=engine), tiny_model, tmp_path / kind / "model", prompts(3))
        for kind, engine in (("own", OwnRollouts()), ("sure", "sure"))
    )
    [one], [other] = own.of("step"), sure.of("step")
    assert other["reward"] == one["reward"]
    assert one["grad_norm"] > 1e-4
    assert other["grad_norm"] == pytest.approx(math.exp(-SURE) * one["grad_norm"], rel=1e-4)
    assert other["sampler_difference"] == pytest.approx(SURE, rel=1e-3)
    assert other["correction_weight"] == pytest.approx(math.exp(-SURE), rel=1e-4)
    assert "correction_weight" not in one


def test_an_engine_of_a_script_is_checked_and_found_by_other_processes(tiny_model: str) -> None:
    recipe = rft(rollouts={"kind": "sure", "most": 3})
    with pytest.raises(RefusedError, match="at most 3 answers"):
        check_recipe(recipe, tiny_model, prompts(3))
    check_recipe(rft(rollouts="sure"), tiny_model, prompts(3))
    assert __name__ in [module["name"] for module in plugin_modules(recipe, prompts(3))]
