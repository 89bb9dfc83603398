"""Together AI: its own fine-tuning API, and chat completions like OpenAI's."""

from ftkit.backends.together.backend import Together

__all__ = ["Together"]
