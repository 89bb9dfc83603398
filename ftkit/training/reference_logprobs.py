"""What the model gave its answers before it was trained: the reference that preferences are judged against.

It is computed once, before the first step, with the adapter as it begins: a fresh one adds nothing, so the reference is
the base model; one that an earlier run trained makes it that run's model. No second model is held, and none is asked
again in later epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example, Floats
from ftkit.training.dataloader import TokenRows

__all__ = ["give_reference", "log_probabilities", "token_log_probabilities"]


@torch.no_grad()
def log_probabilities(
    forward: PackedForward,
    rows: TokenRows,
    packs: Callable[[Sequence[Example]], list[tuple[PackedSequence, list[Example]]]],
) -> torch.Tensor:
    """Log-probability of each sequence under the model as it is now, in the order of the rows, float32 [N]."""
    examples = rows.examples()
    found: dict[int, list[float]] = {}
    for one, packed in packs(examples):
        values = iter(forward.sequence_logprobs(one).tolist())
        for example in packed:
            found[id(example)] = [next(values) for _ in example.sequences]
    return torch.tensor([value for example in examples for value in found[id(example)]])


@torch.no_grad()
def token_log_probabilities(
    forward: PackedForward,
    examples: Sequence[Example],
    packs: Callable[[Sequence[Example]], list[tuple[PackedSequence, list[Example]]]],
    temperature: float,
) -> list[Floats]:
    """Of examples of one sequence: the log-probability of each supervised token under the model as it is now."""
    found: dict[int, Floats] = {}
    for one, packed in packs(examples):
        tokens = forward.token_logprobs(one, temperature)
        counts = torch.bincount(tokens.sequence_indices, minlength=len(packed)).tolist()
        parts = torch.split(tokens.logprobs.cpu(), counts)
        found |= {id(example): part.numpy() for example, part in zip(packed, parts, strict=True)}
    return [found[id(example)] for example in examples]


def give_reference(parts: Sequence[TokenRows], values: torch.Tensor) -> None:
    """Put ``values``, as :func:`log_probabilities` made them for each part, into the examples."""
    each = iter(values.tolist())
    for part in parts:
        for row in part.rows:
            row[:] = [replace(one, reference=tuple(next(each) for _ in one.sequences)) for one in row]
