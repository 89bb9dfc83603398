"""Adapters on a model. Importing this package loads no torch; :mod:`.adapted_model` does."""

from ftkit.training.adapters.base import AdapterTuner, tuner_of

__all__ = ["AdapterTuner", "tuner_of"]
