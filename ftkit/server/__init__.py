"""OpenAI's files, fine-tuning jobs and models on this machine, over HTTP."""

from ftkit.server.app import create_app
from ftkit.server.settings import Settings, load_settings

__all__ = ["Settings", "create_app", "load_settings"]
