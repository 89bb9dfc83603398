"""Answering many at once: models in memory under a limit, batches that requests join and leave between tokens."""

from ftkit.serving.answering import Answering, End, Event, Failed, Piece, Question
from ftkit.serving.limits import Limits
from ftkit.serving.serving import Asked, Load, Serving

__all__ = ["Answering", "Asked", "End", "Event", "Failed", "Limits", "Load", "Piece", "Question", "Serving"]
