"""What a run would take, before anything is started: ``plan`` asks each backend and lays the answers side by side."""

from ftkit.planning.plan import plan
from ftkit.results.plan import Plan, PlanEntry

__all__ = ["Plan", "PlanEntry", "plan"]
