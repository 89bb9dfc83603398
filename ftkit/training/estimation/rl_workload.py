"""The work of a run that writes its own rows, before any of them is written.

How long a model's answers will be nobody knows, so each is counted as long as it may be, and as one that is learned
from. A run takes that or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ftkit.recipe import RFT
from ftkit.training.estimation.workload import Batch, Drawing, Work, packed

if TYPE_CHECKING:
    from ftkit.modeling.tokenized_example import Example, Ints
    from ftkit.training.dataloader import TokenRows

__all__ = ["drawing_of", "foreseen_work"]


def foreseen_work(
    rows: TokenRows,
    recipe: RFT,
    *,
    shared: bool,
    of_rows: int | None = None,
    held_out: TokenRows | None = None,
    of_held_out: int | None = None,
) -> Work:
    """What reinforcement on the prompts of ``rows`` computes at most.

    Args:
        rows: the rendered prompts, or a sample of them.
        recipe: resolved.
        shared: whether the model can share computation between rows.
        of_rows, held_out, of_held_out: as of :func:`~ftkit.training.estimation.workload.work_of`.
    """
    count, longest = recipe.num_generations, recipe.max_output_tokens
    batches = list(rows.batches(0, int(recipe.batch_size), recipe.seed))
    prompts = _prompts(rows.examples())
    probed = prompts[: recipe.probe_prompts]
    looked = _prompts(held_out.examples()) if held_out else []

    def drawn(asked: Sequence[Ints], each: int) -> Drawing | None:
        return drawing_of(asked, each, longest, shared=shared) if asked else None

    return Work(
        rows=of_rows or len(rows.rows),
        counted=len(rows.rows),
        tokens=count * (rows.tokens + len(prompts) * longest),
        longest=max(rows.longest, held_out.longest if held_out else 0) + longest,
        steps=[packed(_answered(batch, count, longest), recipe, shared=shared) for batch in batches],
        looked=of_held_out / len(held_out.rows) if held_out and of_held_out else 1.0,
        draws=[drawing_of(_prompts(batch), count, longest, shared=shared) for batch in batches],
        probe=drawn(probed, count),
        answered=drawn(looked, recipe.eval_generations),
    )


def drawing_of(prompts: Sequence[Ints], count: int, tokens: int, *, shared: bool) -> Drawing:
    """How ``count`` answers to each prompt are drawn, as :func:`ftkit.inference.generation.generate` batches them.

    Args:
        tokens: of each answer.
        shared: whether prompts share their beginning.
    """
    from ftkit.inference.generation import BATCH, common_beginning

    asked = sorted((prompt for prompt in prompts for _ in range(count)), key=len)
    common = common_beginning(asked) if shared else 0
    batches = []
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        different = len({one.tobytes() for one in batch})
        batches.append(Batch(len(batch), different, len(batch[-1]) - common))
    return Drawing(common, tokens, tuple(batches))


def _prompts(examples: Sequence[Example]) -> list[Ints]:
    return [one.sequences[0].ids for one in examples]


def _answered(batch: Sequence[Example], count: int, tokens: int) -> list[Example]:
    """Examples as long as they may become; answers to one prompt share nothing but the prompt."""
    import numpy as np

    from ftkit.modeling.tokenized_example import Example, TokenizedConversation

    found = []
    for prompt in _prompts(batch):
        for number in range(count):
            ids = np.concatenate([prompt, np.full(tokens, number, dtype=prompt.dtype)])
            found.append(Example((TokenizedConversation(ids, np.arange(len(ids)) >= len(prompt)),)))
    return found
