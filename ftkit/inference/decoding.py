"""How a model decodes: in batches, alone with its own cache, or without a cache. A short trial decides.

A cache that is wrong for a model makes answers wrong without an error. So before the first answer each way is tried on
a few tokens, and its logits are compared with those of a pass over the whole sequence, which is what training computes.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ftkit.inference.batch_settings import BatchSettings
from ftkit.inference.continuous_batching import ContinuousBatch
from ftkit.inference.multi_lora import MultiLoRAModel
from ftkit.inference.sequential_batch import ModelCache
from ftkit.modeling.cache_kinds import has_other_caches
from ftkit.modeling.causality import check_causal, trial_tokens
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION

__all__ = ["Decoding", "choose_decoding"]

_log = logging.getLogger("ftkit.inference")

_TOKENS = 12
_STARTS = (4, 7)
"""Rows of the trial begin to be generated at these tokens, so that a row's neighbour has another length."""

_TOLERANCE = 2e-3
"""Largest relative error of float32 logits by rounding; a lost state or a wrong mask causes much more."""
_COARSE_TOLERANCE = 0.15
"""The same for other types, in which a router may choose another expert for a token now and then."""


class Decoding(StrEnum):
    """The ways in which a model generates."""

    BATCHED = "batched"
    OWN_CACHE = "own cache"
    OWN_CACHE_AND_POSITIONS = "own cache and positions"
    NO_CACHE = "no cache"


_chosen: WeakKeyDictionary[Any, dict[str, Decoding]] = WeakKeyDictionary()


def choose_decoding(model: MultiLoRAModel) -> Decoding:
    """Find the fastest way to generate that gives the model's own logits. The result is remembered for the model.

    Args:
        model: the model; nothing else uses it during the call.

    Returns:
        The way.

    Raises:
        ModelError: the model's predictions depend on later tokens, or no way gives its logits.
    """
    known = _chosen.setdefault(model.model, {})
    attention = str(getattr(model.model.config.get_text_config(), "_attn_implementation", ""))
    if attention not in known:
        known[attention] = _choose(model)
    return known[attention]


@torch.inference_mode()
def _choose(model: MultiLoRAModel) -> Decoding:
    transformer = model.model
    ids = trial_tokens(transformer, _TOKENS)
    expected = _expected(model, ids)
    if not bool(expected.isfinite().all()):
        return Decoding.OWN_CACHE if has_other_caches(transformer) else Decoding.BATCHED  # nothing can be compared
    if not has_other_caches(transformer):
        problem = _batched_problem(model, ids, expected)
        if problem is None:
            return Decoding.BATCHED
        _log.info("answers are computed one by one, because %s", problem)
    problem = _own_cache_problem(model, ids, expected, positions=False)
    if problem is None:
        return Decoding.OWN_CACHE
    if _own_cache_problem(model, ids, expected, positions=True) is None:
        return Decoding.OWN_CACHE_AND_POSITIONS
    _log.warning("answers are computed without a cache, which takes longer, because %s", problem)
    return Decoding.NO_CACHE


def _expected(model: MultiLoRAModel, ids: torch.Tensor) -> torch.Tensor:
    """Logits [tokens, vocabulary] of a pass over all tokens, with transformers' own attention."""
    transformer = model.model
    own = transformer.config.get_text_config()._attn_implementation
    if own == GROUPED_ATTENTION:
        transformer.set_attn_implementation("sdpa")
    try:
        model.use_adapters([None])
        return check_causal(transformer, ids)
    finally:
        if own == GROUPED_ATTENTION:
            transformer.set_attn_implementation(own)


def _batched_problem(model: MultiLoRAModel, ids: torch.Tensor, expected: torch.Tensor) -> str | None:
    try:
        for tokens, found in ContinuousBatch(model, BatchSettings()).trial(ids, _STARTS):
            if not _equal(found, expected[tokens], model.model.dtype):
                return "a batch of rows of different lengths gives other logits than each row alone"
    except _FAILURES as error:
        return (
            f"its implementation does not take a batch of rows of different lengths ({type(error).__name__}: {error})"
        )
    return None


def _own_cache_problem(
    model: MultiLoRAModel, ids: torch.Tensor, expected: torch.Tensor, *, positions: bool
) -> str | None:
    cache = ModelCache(model.model, cached=True, positions=positions)
    steps = range(_STARTS[1], _TOKENS)
    try:
        found = []
        for length in steps:
            inputs = cache.inputs(ids[:, :length])
            last = torch.tensor([inputs["input_ids"].shape[1] - 1], device=ids.device)
            found.append(model.logits([None], last, on_output=cache.keep, **inputs))
    except _FAILURES as error:
        return f"its cache does not work ({type(error).__name__}: {error})"
    if not _equal(torch.cat(found), expected[steps.start - 1 : steps.stop - 1], model.model.dtype):
        return "its cache gives other logits than the whole sequence"
    return None


_FAILURES = (TypeError, AttributeError, RuntimeError, IndexError, KeyError, ValueError, AssertionError)
"""What implementations raise that do not take what the trial gives them."""


def _equal(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    """Compare logits [tokens, vocabulary] up to a constant for each token."""
    found, expected = (x.float() - x.float().mean(dim=-1, keepdim=True) for x in (found, expected))
    errors = (found - expected).norm(dim=-1) / expected.norm(dim=-1).clamp(min=1e-12)
    if dtype == torch.float32:
        return bool(errors.max() <= _TOLERANCE)
    return bool(errors.median() <= _COARSE_TOLERANCE)
