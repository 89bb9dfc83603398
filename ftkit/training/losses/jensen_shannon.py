"""The divergence of a student's distribution of the next token from a teacher's."""

from __future__ import annotations

import math

import torch

__all__ = ["generalized_jsd", "log_rest"]

Tensor = torch.Tensor


def generalized_jsd(student: Tensor, teacher: Tensor, beta: float, valid: Tensor | None = None) -> Tensor:
    """Compute the generalised Jensen-Shannon divergence (Agarwal et al. 2024, arXiv 2306.13649, equation 1).

    With P the teacher, Q the student and M = β·P + (1 − β)·Q it is β·KL(P ‖ M) + (1 − β)·KL(Q ‖ M). As in TRL, β = 0 is
    KL(P ‖ Q), the forward divergence, and β = 1 is KL(Q ‖ P), the reverse one.

    Args:
        student: log-probabilities ``[tokens, outcomes]``; gradients flow through them.
        teacher: log-probabilities ``[tokens, outcomes]``.
        beta: β, from 0 to 1.
        valid: which outcomes count, bool ``[tokens, outcomes]``; None: all.

    Returns:
        Divergences in nats, ``[tokens]``.
    """
    if valid is not None:
        student, teacher = student.masked_fill(~valid, 0.0), teacher.masked_fill(~valid, 0.0)
    if beta == 0:
        terms = teacher.exp() * (teacher - student)
    elif beta == 1:
        terms = student.exp() * (student - teacher)
    else:
        mixture = torch.logaddexp(student + math.log1p(-beta), teacher + math.log(beta))
        terms = beta * teacher.exp() * (teacher - mixture) + (1 - beta) * student.exp() * (student - mixture)
    if valid is not None:
        terms = terms.masked_fill(~valid, 0.0)
    return terms.sum(dim=-1)


def log_rest(logprobs: Tensor, tokens: Tensor) -> Tensor:
    """Compute the log-probability of all tokens but some.

    Args:
        logprobs: of the whole vocabulary, ``[tokens, vocabulary]``.
        tokens: ids of those that are left out, int64 ``[tokens, k]``, fewer than the vocabulary.

    Returns:
        Log-probabilities, ``[tokens]``.
    """
    return logprobs.scatter(1, tokens, -torch.inf).logsumexp(dim=1)
