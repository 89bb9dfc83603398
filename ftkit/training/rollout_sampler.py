"""What samples completions during training: the model in training itself, or an engine that is given its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any

from typing_extensions import override

from ftkit.inference.offline import generate
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.tokenized_example import Ints
from ftkit.training.adapter_modes import sampling_mode
from ftkit.training.example_source import TrainingContext
from ftkit.training.rollout_groups import SampledTokens

__all__ = ["OwnSampler", "RolloutSampler", "sample_tokens", "sampler_of"]


class RolloutSampler(ABC):
    """Samples completions of prompts from the model as it is now. A strategy of the rollouts.

    Several workers call every method together, with the same arguments.

    Args:
        context: what the run trains with.
        engine: the recipe's engine with its settings.
    """

    def __init__(self, context: TrainingContext, engine: Any) -> None:
        self.context = context
        self.engine = engine

    def setup(self, longest: int) -> None:  # noqa: B027
        """Prepare to sample; called once, before the first call of :meth:`sample`.

        Args:
            longest: longest prompt with its completion, in tokens.
        """

    @abstractmethod
    def sample(
        self, prompts: Sequence[Ints], *, max_new_tokens: int, temperature: float, top_p: float, seed: int
    ) -> list[SampledTokens]:
        """Sample one completion of each prompt.

        Args:
            prompts: token ids; equal prompts get different completions.
            max_new_tokens: longest completion.
            temperature: 0 decodes greedily.
            top_p: sample from the likeliest tokens with this total probability.
            seed: with a prompt's place, seeds its completion.

        Returns:
            The completions, in the order of the prompts.
        """

    def close(self) -> None:  # noqa: B027
        """End what the sampler has started. Closing twice does nothing."""


class OwnSampler(RolloutSampler):
    """The model in training samples by ftkit's own engine; each worker samples a share."""

    @override
    def sample(
        self, prompts: Sequence[Ints], *, max_new_tokens: int, temperature: float, top_p: float, seed: int
    ) -> list[SampledTokens]:
        context = self.context

        def share(numbers: list[int], own: list[Ints]) -> list[SampledTokens]:
            return sample_tokens(
                context.pretrained,
                own,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
                numbers=numbers,
            )

        with sampling_mode(context.adapted):
            return context.computer.workers.map_shares(prompts, [len(prompt) for prompt in prompts], share)


def sample_tokens(
    pretrained: Pretrained,
    prompts: Sequence[Ints],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    numbers: Sequence[int] | None = None,
) -> list[SampledTokens]:
    """Sample one completion of each prompt with the model in training.

    Args:
        pretrained: the model, in :func:`~ftkit.training.adapter_modes.sampling_mode`.
        prompts: token ids; equal prompts get different completions.
        max_new_tokens: longest completion.
        temperature: 0 decodes greedily.
        top_p: sample from the likeliest tokens with this total probability.
        seed: with a prompt's number, seeds its completion.
        numbers: the number of each prompt; its place by default.

    Returns:
        The completions, in the order of the prompts.
    """
    completions = generate(
        pretrained,
        prompts,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        numbers=numbers,
    )
    return [SampledTokens(each.ids, each.logprobs, each.stopped) for each in completions]


def sampler_of(context: TrainingContext) -> RolloutSampler:
    """Make the sampler of a run.

    Args:
        context: what the run trains with.

    Returns:
        The sampler of the recipe's engine. It has started nothing yet.
    """
    engine = context.recipe.sampled_by
    named = engine.sampler_class
    sampler: RolloutSampler = (resolve_name(named) if isinstance(named, str) else named)(context, engine)
    return sampler
