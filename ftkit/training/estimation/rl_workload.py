"""The workload of reinforcement fine-tuning, whose answers do not exist yet.

The length of the answers is unknown, so each counts as ``max_output_tokens`` long and as one that is trained on. A run
needs that or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftkit.inference.limits import MAX_BATCH_SIZE
from ftkit.modeling.prefix_tree import shared_length
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.recipe import RFT
from ftkit.training.estimation.workload import GenerationBatch, GenerationWorkload, Workload, pack_sizes

if TYPE_CHECKING:
    from ftkit.modeling.tokenized_example import Ints
    from ftkit.training.dataloader import TokenRows

__all__ = ["generation_workload", "longest_examples", "rl_workload"]


def rl_workload(
    rows: TokenRows,
    recipe: RFT,
    *,
    shared: bool,
    total_rows: int | None = None,
    validation: TokenRows | None = None,
    total_validation_rows: int | None = None,
) -> Workload:
    """Count what reinforcement on given prompts computes at most.

    Args:
        rows: the tokenised prompts, or a sample of them.
        recipe: the resolved recipe.
        shared: whether the model can share computation between rows.
        total_rows: number of prompts, if ``rows`` is a sample.
        validation: the tokenised validation prompts, or a sample of them.
        total_validation_rows: number of validation prompts, if ``validation`` is a sample.

    Returns:
        The workload.
    """
    count, length = recipe.num_generations, recipe.max_output_tokens
    batches = list(rows.batches(0, int(recipe.batch_size), recipe.seed))
    prompts = _prompts(rows.examples())
    validation_prompts = _prompts(validation.examples()) if validation else []

    def generation(asked: Sequence[Ints], each: int) -> GenerationWorkload | None:
        return generation_workload(asked, each, length, shared=shared) if asked else None

    return Workload(
        rows=total_rows or len(rows.rows),
        sampled_rows=len(rows.rows),
        tokens=count * (rows.tokens + len(prompts) * length),
        longest=max(rows.longest, validation.longest if validation else 0) + length,
        steps=[pack_sizes(longest_examples(batch, count, length), recipe, shared=shared) for batch in batches],
        validation_scale=total_validation_rows / len(validation.rows) if validation and total_validation_rows else 1.0,
        generations=[generation_workload(_prompts(batch), count, length, shared=shared) for batch in batches],
        probe_generation=generation(prompts[: recipe.probe_prompts], count),
        validation_generation=generation(validation_prompts, recipe.eval_generations),
    )


def generation_workload(prompts: Sequence[Ints], count: int, tokens: int, *, shared: bool) -> GenerationWorkload:
    """Count how answers are generated, in the batches of :func:`ftkit.inference.offline.generate`.

    Args:
        prompts: token ids of the prompts.
        count: answers per prompt.
        tokens: tokens of each answer.
        shared: whether prompts share their common prefix.

    Returns:
        The workload of the generation.
    """
    asked = sorted((prompt for prompt in prompts for _ in range(count)), key=len)
    common = _common_prefix_length(asked) if shared else 0
    batches = []
    for start in range(0, len(asked), MAX_BATCH_SIZE):
        batch = asked[start : start + MAX_BATCH_SIZE]
        different = len({prompt.tobytes() for prompt in batch})
        batches.append(GenerationBatch(len(batch), different, len(batch[-1]) - common))
    return GenerationWorkload(common, tokens, tuple(batches))


def _common_prefix_length(prompts: Sequence[Ints]) -> int:
    """Tokens that all prompts start with, leaving each at least one of its own; 0 for a single prompt."""
    if len(prompts) < 2:
        return 0
    common = min(map(len, prompts)) - 1
    return min(common, *(shared_length(prompts[0], prompt) for prompt in prompts[1:]))


def _prompts(examples: Sequence[Example]) -> list[Ints]:
    sequences = [example.sequences[0] for example in examples]
    return [one.ids[: one.supervised.argmax()] if one.supervised.any() else one.ids for one in sequences]


def longest_examples(batch: Sequence[Example], count: int, tokens: int) -> list[Example]:
    """Make examples of the greatest possible length; answers to one prompt share only the prompt.

    Args:
        batch: examples of one sequence, whose prompts are the tokens before the first supervised one.
        count: answers per prompt.
        tokens: tokens of each answer.

    Returns:
        The examples.
    """
    import numpy as np

    examples = []
    for prompt in _prompts(batch):
        for number in range(count):
            ids = np.concatenate([prompt, np.full(tokens, number, dtype=prompt.dtype)])
            examples.append(Example((TokenizedConversation(ids, np.arange(len(ids)) >= len(prompt)),)))
    return examples
