"""What each kind of recipe computes: a few pure functions that the one loop calls."""

from ftkit.engine.methods.choosing import method_of
from ftkit.engine.methods.method import Method, Outcome

__all__ = ["Method", "Outcome", "method_of"]
