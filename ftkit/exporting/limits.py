"""How much an exported model may differ from the served one."""

from __future__ import annotations

from ftkit.engine.drift import Drift

__all__ = ["CLEAR_MARGIN", "MAX_KL", "objection"]

MAX_KL = 0.01
"""Largest mean KL(served ‖ exported) per answer token, in nats, that an export may show."""

CLEAR_MARGIN = 1.0
"""From this lead in logits on, the served model's choice of a token is clear and must not change: it holds the token
for e times as likely as the next."""


def objection(drift: Drift, max_kl: float, places: list[str]) -> str | None:
    """What speaks against an export, or ``None``.

    Args:
        places: where each replayed row came from.
    """
    # Written so that a KL that is not a number does not pass.
    if not drift.mean_kl <= max_kl:
        return (
            f"mean KL is {drift.mean_kl:.2g} nats a token over {drift.tokens:,} tokens of {drift.rows} rows, above the "
            f"limit of {max_kl:g}"
        )
    if drift.first_clear_change is not None:
        change = drift.first_clear_change
        return (
            f"{drift.clear_changes} of {drift.clear_tokens:,} clear tokens changed; the first at "
            f"{places[change.row]}, token {change.token} of the answer: {change.served!r} became {change.exported!r} "
            f"although it led by {change.margin:.1f}"
        )
    return None
