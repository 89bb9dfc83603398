"""Fireworks AI: its own fine-tuning API, answers in OpenAI's shape."""

from ftkit.backends.fireworks.backend import Fireworks

__all__ = ["Fireworks"]
