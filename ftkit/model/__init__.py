"""Models: a task asked of a model, typed answers; and scores from reward models."""

from ftkit.model.model import Model
from ftkit.model.scorer import Scorer

__all__ = ["Model", "Scorer"]
