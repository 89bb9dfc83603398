"""Together AI: its own fine-tuning API, answers in OpenAI's shape."""

from ftkit.backends.together.backend import Together

__all__ = ["Together"]
