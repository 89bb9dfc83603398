"""Whether there is anything to learn from a grader, before a run is started."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.backends import Backend, Request, Sampling, backend_of
from ftkit.backends.grading import setting_of
from ftkit.data import Dataset
from ftkit.errors import ConfigError, ModelError
from ftkit.graders import Grade, Sample
from ftkit.recipe import RFT
from ftkit.training.reward_signal import RewardSignal

__all__ = ["reward_signal"]


def reward_signal(recipe: RFT, data: Dataset, *, backend: str | Backend, prompts: int = 16) -> RewardSignal:
    """Answer a sample of prompts as a run would, grade the answers, and start nothing.

        signal = ft.reward_signal(recipe, data, backend="local:smollm2-135m")
        print(signal)
        print(signal.problem())

    A run with :class:`ftkit.RFT` on this machine does the same before its first step, and refuses when
    :meth:`RewardSignal.problem` has a reason to; its sample is another one.

    Args:
        recipe: its grader, ``num_generations``, ``temperature``, ``top_p`` and ``max_output_tokens`` are used.
        data: where the prompts are drawn from, by the recipe's seed.
        backend: of the model as it is, as in :func:`ftkit.train`.
        prompts: how many are asked.

    Raises:
        ConfigError: fewer than one prompt, or a grader that cannot run here.
        ModelError: the model cannot be asked.
    """
    if prompts < 1:
        raise ConfigError(f"prompts must be at least 1, not {prompts}")
    setting = setting_of(recipe)
    recipe.grader.check(setting)
    rows = list(data.shuffle(recipe.seed).take(prompts))
    requests = [Request(row.prompt, row.tools, output=data.task.output) for row in rows]
    answerer = backend_of(backend).answerer()
    groups: list[list[Grade]] = [[] for _ in rows]
    truncated: list[bool] = []
    for number in range(recipe.num_generations):
        drawn = answerer.answer_many(requests, _sampling(recipe, number))
        failed = next((one.error for one in drawn if one.finish_reason == "error"), None)
        if failed is not None:
            raise ModelError(f"a prompt of the sample could not be answered: {failed}")
        samples = [
            Sample(answer.text, tuple(answer.tool_calls or ()), tuple(row.prompt))
            for row, answer in zip(rows, drawn, strict=True)
        ]
        graded: Sequence[Grade] = recipe.grader.grade_many(
            [(row.item, sample) for row, sample in zip(rows, samples, strict=True)], setting
        )
        for group, grade in zip(groups, graded, strict=True):
            group.append(grade)
        truncated += [one.finish_reason == "length" for one in drawn]
    return RewardSignal.of(groups, truncated, rates=recipe.grader.rates)


def _sampling(recipe: RFT, number: int) -> Sampling:
    """Of the n-th answer to every prompt; hosts give the same answer to the same seed."""
    return Sampling(
        max_output_tokens=recipe.max_output_tokens,
        temperature=recipe.temperature,
        top_p=recipe.top_p,
        seed=recipe.seed + number,
    )
