"""Choose ``max_batch_tokens`` by a GPU's memory."""

from __future__ import annotations

from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import Recipe
from ftkit.training.dataloader import TokenRows
from ftkit.training.estimation.memory_model import estimate_memory
from ftkit.training.estimation.plan_target import PlanTarget
from ftkit.training.losses import loss_of

__all__ = ["fit_batch_tokens"]

CANDIDATES = (16_384, 8_192, 4_096, 2_048, 1_024)
MEMORY_SHARE = 0.95
"""Share of the GPU's memory that a run may be estimated to take."""
SAMPLE = 2_000
"""Rows whose packs are counted at most."""


def fit_batch_tokens(
    recipe: Recipe,
    resolved: Recipe,
    shape: ModelShape,
    rows: TokenRows,
    validation: TokenRows | None,
    target: PlanTarget,
    *,
    shared: bool,
    shards: int = 1,
) -> Recipe:
    """Choose the largest ``max_batch_tokens`` whose run is estimated to fit a GPU.

    The choice follows from the recipe, the rows and the GPU's whole memory, so that a resumed run computes the same
    passes.

    Args:
        recipe: the recipe as the user wrote it.
        resolved: the same without ``"auto"``.
        shape: shape of the model.
        rows: the tokenised training rows.
        validation: the tokenised validation rows, if any.
        target: the machine.
        shared: whether rows share computation.
        shards: in how many parts the model is split among workers.

    Returns:
        ``resolved`` with the chosen number, the smallest candidate if none fits; ``resolved`` itself on a CPU, and
        where the user wrote a number.
    """
    if recipe.max_batch_tokens != "auto" or target.device != "cuda":
        return resolved
    sample = TokenRows(rows.rows[:: -(-len(rows.rows) // SAMPLE)], rows.tokens, rows.supervised, rows.longest)
    candidate = resolved
    for tokens in CANDIDATES:
        candidate = resolved.model_copy(update={"max_batch_tokens": tokens})
        work = loss_of(candidate).workload(sample, shared=shared, validation=validation)
        memory = estimate_memory(
            shape, candidate, work, device=target.device, shared=shared, process=target.process, shards=shards
        )
        if memory.peak <= MEMORY_SHARE * target.memory:
            break
    return candidate
