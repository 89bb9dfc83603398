"""Plan a run before it starts: memory, time, tokens and prices on each backend."""

from ftkit.planning.plan import plan
from ftkit.results.plan import Plan, PlanEntry

__all__ = ["Plan", "PlanEntry", "plan"]
