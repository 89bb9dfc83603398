"""Traces of models in use as dataset formats: what was asked, what was answered, and what users thought of it."""

from ftkit.data.formats.traces.base import TraceFacts, TraceFormat

__all__ = ["TraceFacts", "TraceFormat"]
