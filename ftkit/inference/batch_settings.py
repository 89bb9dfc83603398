"""The size of a batch that is generated together."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BatchSettings"]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Size of a batch.

    Attributes:
        rows: largest number of answers generated together.
        cache_bytes: memory for keys and values of running answers; None for as much as ``rows`` answers need. A single
            answer may exceed it.
        prefix_bytes: memory of the prefix cache.
        prefix_tokens: the same in tokens of the model; both are added.
        keep_answers: store answers in the prefix cache, too, for conversations that go on.
        pass_tokens: largest number of prompt tokens in one forward pass.
        step_tokens: prompt tokens computed between two generated tokens of the running answers. A server keeps it
            small, so that a long prompt does not delay them.
    """

    rows: int = 32
    cache_bytes: int | None = None
    prefix_bytes: int = 0
    prefix_tokens: int = 0
    keep_answers: bool = False
    pass_tokens: int = 512
    step_tokens: int = 512
