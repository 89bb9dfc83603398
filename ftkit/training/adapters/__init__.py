"""Adapters on a model. Importing this package loads no torch; :mod:`.attach` does."""

from ftkit.training.adapters.base import AdapterTuner, tuner_of

__all__ = ["AdapterTuner", "tuner_of"]
