"""Limits on how much an exported model may differ from the served one."""

from __future__ import annotations

from ftkit.counts import counted
from ftkit.inference.drift import Drift

__all__ = ["CLEAR_MARGIN", "MAX_KL", "objection"]

MAX_KL = 0.01
"""Default limit of the mean KL(served ‖ exported) per answer token, in nats."""

CLEAR_MARGIN = 1.0
"""Lead of the likeliest token in logits from which the served model's choice is clear, and must not change. The token
is then at least e times as likely as the next."""


def objection(drift: Drift, max_kl: float, max_clear_changes: float, places: list[str]) -> str | None:
    """Say why an export drifts too far.

    Args:
        drift: the measured differences.
        max_kl: limit of the mean KL, in nats per token.
        max_clear_changes: share of the clear tokens that may change.
        places: file and line of each replayed row.

    Returns:
        The reason, or None if the export is within the limits.
    """
    changed, change = "", drift.first_clear_change
    if change is not None:
        changed = (
            f"{drift.clear_changes} of {drift.clear_tokens:,} clear tokens changed; the first at {places[change.row]}, "
            f"token {change.token} of the answer: {change.served!r} became {change.exported!r} although it led by "
            f"{change.margin:.1f}"
        )
    # Written so that a KL of NaN does not pass.
    if not drift.mean_kl <= max_kl:
        found = (
            f"mean KL is {drift.mean_kl:.2g} nats per token over {counted(drift.tokens, 'token')} of "
            f"{counted(drift.rows, 'row')}, above the limit of {max_kl:g}"
        )
        return f"{found}, and {changed}" if changed else found
    if drift.clear_changes > max_clear_changes * drift.clear_tokens:
        return f"{changed} (mean KL is {drift.mean_kl:.2g} nats per token)"
    return None
