"""Fireworks AI: its own fine-tuning API, and chat completions like OpenAI's."""

from ftkit.backends.fireworks.backend import Fireworks

__all__ = ["Fireworks"]
