"""Sweeps: many recipes on one or several backends, trained, evaluated on the same rows, and compared."""

from ftkit.evaluation.sweeps.runner import sweep

__all__ = ["sweep"]
