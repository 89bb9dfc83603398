"""Other tools' marks of what is not learned: keys of a message, and columns of a row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

__all__ = ["LEARNING_MARKS", "PARTIAL_MARKS", "is_like_mark", "read_mark"]

_LEARNED_IF_TRUE = (
    "loss",
    "loss_weight",
    "loss_scale",
    "loss_mask",
    "step_loss_mask",
    "train",
    "training",
    "trainable",
)
"""ms-swift and XTuner; LLaMA-Factory; ms-swift; several trainers; SLIME; Axolotl (two); Tinker."""
_LEARNED_IF_FALSE = ("masked", "is_masked")
"""torchtune, and variants of it."""
LEARNING_MARKS = (*_LEARNED_IF_TRUE, *_LEARNED_IF_FALSE)
"""Other tools' names of a weight of 0 or 1."""
PARTIAL_MARKS = ("train_detail", "training_detail")
"""Axolotl's marks of the characters of a turn that are learned."""

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_MARK_WORDS = frozenset(
    {
        *("loss", "mask", "masked", "masking", "unmask", "unmasked", "train", "training", "trained", "trainable"),
        *("learn", "learned", "learnable", "learning", "supervise", "supervised", "supervision", "backprop", "grad"),
        *("weight", "weights", "weighted", "ignore", "ignored", "skip", "skipped"),
    }
)
_MARK_TEXTS = frozenset({"true", "false", "yes", "no", "0", "1", "0.0", "1.0"})


def read_mark(name: str, value: Any) -> bool | None:
    """Say what a mark means.

    Args:
        name: one of :data:`LEARNING_MARKS`.
        value: its value.

    Returns:
        Whether the turn or row is learned; None if the value is not true, false, 1 or 0.
    """
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        return None
    return bool(value) != (name in _LEARNED_IF_FALSE)


def is_like_mark(name: str, value: Any) -> bool:
    """Say whether an unknown key of a message looks like a mark of what is learned.

    Args:
        name: the key.
        value: its value.

    Returns:
        Whether its name has a word such as ``loss`` or ``mask``, and its value is from 0 to 1 or says yes or no; or
        whether it is an object with a weight, as in Vertex AI's ``completionMetadata``.
    """
    if isinstance(value, Mapping):
        return any(key in value for key in ("weight", *LEARNING_MARKS))
    is_switch = (
        value.lower() in _MARK_TEXTS if isinstance(value, str) else isinstance(value, int | float) and 0 <= value <= 1
    )
    return is_switch and _has_mark_word(name[:200])


@lru_cache(maxsize=1024)
def _has_mark_word(name: str) -> bool:
    return any(word.lower() in _MARK_WORDS for word in _WORDS.findall(name))
