"""Whether a reasoning model still thinks when it is asked to, and still answers at once when it is asked not to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ftkit.results.thinking_modes import ThinkingChange, ThinkingModes

__all__ = ["QUESTIONS", "probe_thinking", "thinking_change"]

QUESTIONS = (
    "A train leaves at 14:40 and arrives at 17:05. How many minutes does it take?",
    "Which weighs more, a litre of water or a litre of oil? Say why.",
    "I have three boxes with four pens each and give away five pens. How many are left?",
    "Is 91 a prime number?",
    "Sort these words by length: pear, fig, banana, apple.",
    "If all bloops are razzies and some razzies are lazzies, are some bloops certainly lazzies?",
    "What day comes two days before the day after Friday?",
    "A shirt costs 40 euros after a discount of 20 percent. What did it cost before?",
    "How many times does the letter r occur in strawberry?",
    "Ann is taller than Bea, and Bea is taller than Cleo. Who is the shortest?",
    "What is the next number: 2, 6, 12, 20, 30?",
    "Can a person marry the sister of their widow? Explain.",
)
_TOKENS = 48
"""Of each answer: enough to see whether it begins with a thought."""
_LEAST_THOUGHT = 10
"""Characters; a shorter thought is an empty one."""

Thoughts = Callable[[Sequence[str], int], "dict[bool, list[str | None]] | None"]
"""Asks questions in both modes, each answer of at most so many tokens; returns the thoughts by mode."""


def probe_thinking(ask: Thoughts) -> ThinkingModes | None:
    """Ask a model in both modes.

    Args:
        ask: asks it.

    Returns:
        How many answers begin with a thought; None if the model has no such modes.
    """
    found = ask(QUESTIONS, _TOKENS)
    if found is None:
        return None
    thought = {mode: sum(len(each or "") >= _LEAST_THOUGHT for each in given) for mode, given in found.items()}
    return ThinkingModes(asked=len(QUESTIONS), thought_when_on=thought[True], thought_when_off=thought[False])


def thinking_change(before: ThinkingModes | None, after: ThinkingModes | None) -> ThinkingChange | None:
    """Pair the results of two models.

    Args:
        before: of the base model.
        after: of the tuned model.

    Returns:
        The change; None if one of them was not asked in both modes.
    """
    return None if before is None or after is None else ThinkingChange(before=before, after=after)
