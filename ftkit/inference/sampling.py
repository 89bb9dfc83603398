"""Choose the next token of each row: adjust its logits, then take the most likely token or sample one.

Penalties and biases are those of OpenAI's API (reference of ``frequency_penalty``, ``presence_penalty`` and
``logit_bias``): they are added to the logits before anything else, so that temperature 0 takes them into account too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["SamplingParams", "SamplingState", "adjust_logits", "sample_tokens", "token_logprobs"]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the tokens of one answer are chosen.

    Attributes:
        temperature: 0 takes the most likely token each time.
        top_p: sample from the smallest set of tokens whose probabilities reach this sum (nucleus sampling, Holtzman et
            al. 2019, arXiv 1904.09751).
        seed: seed of the random numbers.
        number: index of the answer among those with the same seed, so that each has random numbers of its own.
        frequency_penalty: subtracted from a token's logit as often as the answer has the token already.
        presence_penalty: subtracted once from the logit of each token that the answer has already.
        logit_bias: pairs of token id and a number that is added to the token's logit.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    number: int = 0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()

    @property
    def penalizes(self) -> bool:
        """Whether a penalty is set."""
        return self.frequency_penalty != 0 or self.presence_penalty != 0


class SamplingState:
    """The random numbers of one answer, one per token, and the counts of its tokens if they are penalised.

    Args:
        params: how its tokens are chosen.
    """

    __slots__ = ("_bias", "_counts", "_generator", "params")

    def __init__(self, params: SamplingParams) -> None:
        self.params = params
        self._counts: Counter[int] = Counter()
        self._bias: tuple[torch.Tensor, torch.Tensor] | None = None
        if params.logit_bias:
            tokens, values = zip(*params.logit_bias, strict=True)
            self._bias = torch.tensor(tokens), torch.tensor(values)
        self._generator = torch.Generator()
        self._generator.manual_seed(hash((params.seed, params.number)))

    def uniform(self) -> torch.Tensor:
        """Draw the next random number.

        Returns:
            ``[1]``, float64, in 0 to 1.
        """
        return torch.rand(1, generator=self._generator, dtype=torch.float64)

    def record(self, token: int) -> None:
        """Note a token of the answer.

        Args:
            token: its id.
        """
        if self.params.penalizes:
            self._counts[token] += 1

    @property
    def adjusts(self) -> bool:
        """Whether logits change at the next position."""
        return bool(self._counts) or self._bias is not None

    def adjust(self, logits: torch.Tensor) -> None:
        """Apply the penalties and biases to the logits at the next position.

        Args:
            logits: ``[vocabulary]``, changed in place.
        """
        if self._bias is not None:
            tokens, values = self._bias
            known = tokens < len(logits)  # a tokenizer may have tokens that the model has not
            tokens, values = tokens[known], values[known]
            logits.index_add_(0, tokens.to(logits.device), values.to(logits))
        if self._counts:
            frequency, presence = self.params.frequency_penalty, self.params.presence_penalty
            penalties = torch.tensor([count * frequency + presence for count in self._counts.values()])
            tokens = torch.tensor(list(self._counts), device=logits.device)
            logits.index_add_(0, tokens, penalties.to(logits), alpha=-1)


def adjust_logits(logits: torch.Tensor, states: Sequence[SamplingState]) -> torch.Tensor:
    """Apply the penalties and biases of each row.

    Args:
        logits: ``[rows, vocabulary]``.
        states: the sampling state of each row.

    Returns:
        ``[rows, vocabulary]``; ``logits`` itself if no row has any.
    """
    if not any(state.adjusts for state in states):
        return logits
    adjusted = logits.clone()
    for row, state in zip(adjusted, states, strict=True):
        state.adjust(row)
    return adjusted


def sample_tokens(logits: torch.Tensor, states: Sequence[SamplingState]) -> list[int]:
    """Choose the next token of each row.

    A sampled row uses one uniform number to pick from the distribution function in the vocabulary's order. Logits that
    differ by rounding, as they do in batches of other sizes, therefore almost never lead to another token.

    Args:
        logits: ``[rows, vocabulary]``, float32.
        states: the sampling state of each row.

    Returns:
        One token id per row.
    """
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    sampled = [row for row, state in enumerate(states) if state.params.temperature > 0]
    if not sampled:
        return chosen
    params = [states[row].params for row in sampled]
    temperatures = torch.tensor([one.temperature for one in params], device=logits.device, dtype=torch.float64)
    scores = logits[sampled].double()
    # Subtract the maximum first: a tiny temperature would turn everything else into infinities.
    scores = (scores - scores.amax(dim=-1, keepdim=True)) / temperatures.unsqueeze(1)
    probabilities = scores.softmax(dim=-1)
    for row_probabilities, one in zip(probabilities, params, strict=True):
        if one.top_p < 1:
            row_probabilities[~_nucleus(row_probabilities, one.top_p)] = 0
    cumulative = probabilities.cumsum(dim=-1)
    thresholds = torch.stack([states[row].uniform() for row in sampled]).to(cumulative.device) * cumulative[:, -1:]
    picked = torch.searchsorted(cumulative, thresholds, right=True)[:, 0].tolist()
    for row, row_probabilities, token in zip(sampled, probabilities, picked, strict=True):
        chosen[row] = token if token < len(row_probabilities) else int(row_probabilities.nonzero()[-1])
    return chosen


def token_logprobs(logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """Compute the log-probability of one token in each row.

    Args:
        logits: ``[rows, vocabulary]``, float32.
        tokens: one token id per row.

    Returns:
        ``[rows]``, in nats.
    """
    ids = torch.tensor(tokens, device=logits.device).unsqueeze(1)
    return logits.gather(1, ids).squeeze(1) - logits.logsumexp(dim=-1)


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Mark the smallest set of tokens whose probabilities reach ``top_p``: bool ``[vocabulary]``, never empty."""
    inside = torch.zeros(probabilities.shape, dtype=torch.bool, device=probabilities.device)
    for most in (256, len(probabilities)):  # sorting a whole vocabulary takes longer than everything else
        ordered, tokens = probabilities.topk(min(most, len(probabilities)))
        before = ordered.cumsum(dim=0) - ordered
        if bool(before[-1] >= top_p) or most >= len(probabilities):
            inside[tokens[before < top_p]] = True
            inside[tokens[0]] = True
            break
    return inside
