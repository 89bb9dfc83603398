"""Hosts that speak OpenAI's fine-tuning jobs API: one backend, and a profile for each host."""

from ftkit.backends.hosted.host_profile import HostProfile
from ftkit.backends.openai_jobs.backend import OpenAIJobs

__all__ = ["HostProfile", "OpenAI", "OpenAIJobs"]

OpenAI = OpenAIJobs
"""For scripts: ``ft.OpenAI("smollm2-135m", base_url="http://127.0.0.1:8000/v1")``."""
