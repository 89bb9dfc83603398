"""How far an exported model's answers are from the answers of the model that ftkit serves."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["ClearChange", "Drift"]


class ClearChange(BaseModel):
    """A token at which the exported model prefers another one, although the served model's choice was clear.

    Attributes:
        row: number of the replayed row, from 0.
        token: position in the answer, from 0.
        served: text of the served model's token.
        exported: text of the exported model's.
        margin: by how much the served model preferred its token to its second choice, in logits (nats).
    """

    model_config = ConfigDict(frozen=True)

    row: int
    token: int
    served: str
    exported: str
    margin: float


class Drift(BaseModel):
    """Differences on replayed rows, with both models given the prompt and the served model's greedy answer.

    Attributes:
        rows: replayed rows.
        tokens: answer tokens that were compared, the end of turn included.
        max_logit_difference: largest |Δ logit| over all tokens and the whole vocabulary.
        mean_logit_difference: mean of the same.
        mean_kl: mean over tokens of KL(served ‖ exported), in nats.
        max_kl: the largest of them.
        changed_tokens: tokens at which the likeliest one is another.
        clear_tokens: tokens at which the served model's likeliest one led by ``clear_margin`` or more.
        clear_changes: how many of these changed.
        first_clear_change: the first of them.
        equal_answers: share of rows whose greedy answers are equal token by token.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    tokens: int
    max_logit_difference: float
    mean_logit_difference: float
    mean_kl: float
    max_kl: float
    changed_tokens: int
    clear_tokens: int
    clear_changes: int
    first_clear_change: ClearChange | None = None
    equal_answers: float
