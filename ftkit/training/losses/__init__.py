"""What each kind of recipe computes: a few pure functions that the one loop calls."""

from ftkit.training.losses.loss import Method, Outcome
from ftkit.training.losses.registry import method_of

__all__ = ["Method", "Outcome", "method_of"]
