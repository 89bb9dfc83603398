"""The next token of each row: the likeliest, or one drawn as the row's temperature and top_p say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

__all__ = ["Draw", "choose"]


@dataclass(frozen=True, slots=True)
class Draw:
    """How one answer's tokens are chosen.

    Attributes:
        temperature: 0 takes the likeliest token each time.
        top_p: tokens are drawn from the smallest set whose mass reaches this (Holtzman et al. 2019, arXiv 1904.09751).
        seed: of the random numbers, one a token.
        number: which of several answers under one seed this is.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    number: int = 0
    _source: torch.Generator = field(init=False, default_factory=torch.Generator, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._source.manual_seed(hash((self.seed, self.number)))

    def uniform(self) -> torch.Tensor:
        """The next of its random numbers, [1] in 0 to 1, float64."""
        return torch.rand(1, generator=self._source, dtype=torch.float64)


def _nucleus(likely: torch.Tensor, top_p: float) -> torch.Tensor:
    """The smallest set of tokens whose mass reaches ``top_p``, bool [vocabulary]; the likeliest is always in it."""
    inside = torch.zeros(likely.shape, dtype=torch.bool, device=likely.device)
    for most in (256, len(likely)):  # sorting a whole vocabulary takes longer than all the rest
        ordered, tokens = likely.topk(min(most, len(likely)))
        before = ordered.cumsum(dim=0) - ordered
        if bool(before[-1] >= top_p) or most >= len(likely):
            inside[tokens[before < top_p]] = True
            inside[tokens[0]] = True
            break
    return inside


def choose(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """The next token of each row of ``logits`` [rows, vocabulary], float32.

    Of a row that is drawn, one uniform number picks from the distribution function in the vocabulary's order. So logits
    that differ by rounding, as they do in batches of other sizes, almost never lead to another token.
    """
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    drawn = [row for row, draw in enumerate(draws) if draw.temperature > 0]
    if not drawn:
        return chosen
    heat = torch.tensor([draws[row].temperature for row in drawn], device=logits.device, dtype=torch.float64)
    warm = logits[drawn].double()
    # From the highest, because a tiny temperature would make infinities of all others.
    likely = ((warm - warm.amax(dim=-1, keepdim=True)) / heat.unsqueeze(1)).softmax(dim=-1)
    for own, row in zip(likely, drawn, strict=True):
        if draws[row].top_p < 1:
            own[~_nucleus(own, draws[row].top_p)] = 0
    reached = likely.cumsum(dim=-1)
    wanted = torch.stack([draws[row].uniform() for row in drawn]).to(reached.device) * reached[:, -1:]
    for row, own, token in zip(
        drawn, likely, torch.searchsorted(reached, wanted, right=True)[:, 0].tolist(), strict=True
    ):
        chosen[row] = token if token < len(own) else int(own.nonzero()[-1])
    return chosen
