"""Model: a task asked of a model, wherever it runs."""

from ftkit.model.model import Model

__all__ = ["Model"]
