"""Check before a run whether a grader's rewards differ enough to learn from."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.arguments import explain_calls
from ftkit.backends import Backend, Request, Sampling, backend_of
from ftkit.backends.grading import setting_of
from ftkit.data import Dataset
from ftkit.errors import ConfigError, ModelError
from ftkit.graders import Grade, Sample
from ftkit.recipe import RFT
from ftkit.training.reward_signal import RewardSignal

__all__ = ["reward_signal"]


@explain_calls(instead='ft.reward_signal(recipe, data, backend="local:smollm2-135m")')
def reward_signal(recipe: RFT, data: Dataset, *, backend: str | Backend, prompts: int = 16) -> RewardSignal:
    """Answer a sample of prompts as a run would, and grade the answers. Nothing is trained.

        signal = ft.reward_signal(recipe, data, backend="local:smollm2-135m")
        print(signal)
        print(signal.problem())

    A local run with :class:`ftkit.RFT` does the same with other prompts before its first step, and refuses to start if
    :meth:`RewardSignal.problem` returns a reason.

    Args:
        recipe: its grader, ``num_generations``, ``temperature``, ``top_p`` and ``max_output_tokens`` are used.
        data: the rows from which prompts are sampled, by the recipe's seed.
        backend: the model before training, as in :func:`ftkit.train`.
        prompts: number of prompts.

    Returns:
        How rewards vary among the answers to one prompt.

    Raises:
        ConfigError: ``prompts`` is less than 1.
        ModelError: a prompt could not be answered.
    """
    if prompts < 1:
        raise ConfigError(f"prompts must be at least 1, not {prompts}")
    context = setting_of(recipe)
    recipe.grader.check(context)
    rows = list(data.shuffle(recipe.seed).take(prompts))
    requests = [Request(row.prompt, row.tools, output=data.task.output) for row in rows]
    answerer = backend_of(backend).answerer()
    grades: list[list[Grade]] = [[] for _ in rows]
    truncated: list[bool] = []
    for number in range(recipe.num_generations):
        answers = answerer.answer_many(requests, _sampling(recipe, number))
        error = next((answer.error for answer in answers if answer.finish_reason == "error"), None)
        if error is not None:
            raise ModelError(f"a prompt of the sample could not be answered: {error}")
        samples = [
            Sample(answer.text, tuple(answer.tool_calls or ()), tuple(row.prompt))
            for row, answer in zip(rows, answers, strict=True)
        ]
        graded: Sequence[Grade] = recipe.grader.grade_many(
            [(row.item, sample) for row, sample in zip(rows, samples, strict=True)], context
        )
        for group, grade in zip(grades, graded, strict=True):
            group.append(grade)
        truncated += [answer.finish_reason == "length" for answer in answers]
    return RewardSignal.of(grades, truncated, rates=recipe.grader.rates)


def _sampling(recipe: RFT, number: int) -> Sampling:
    """Sampling of the n-th answer to every prompt. Each has a seed of its own: hosts repeat an answer for a seed."""
    options = {"temperature": recipe.temperature, "top_p": recipe.top_p}
    # A host may refuse the seed, which nobody wrote for it; a temperature that it refuses is an error.
    return Sampling(max_output_tokens=recipe.max_output_tokens, **options).with_seed(recipe.seed + number)
