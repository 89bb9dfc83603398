"""Hosts that speak OpenAI's fine-tuning jobs API: one backend, and a profile for what each does otherwise."""

from __future__ import annotations

from ftkit.backends.openai_jobs.backend import OpenAIJobs
from ftkit.backends.openai_jobs.profiles import PROFILES, Profile
from ftkit.errors import ConfigError

__all__ = [
    "PROFILES",
    "OpenAI",
    "OpenAIJobs",
    "Profile",
    "azure",
    "bedrock_mantle",
    "compatible",
    "crusoe",
    "litellm",
    "nebius",
    "openai",
]


OpenAI = OpenAIJobs
"""As ``ft.OpenAI("smollm2-135m", base_url="http://127.0.0.1:8000/v1")`` reads in a script."""


def openai(model: str) -> OpenAIJobs:
    """``"openai:gpt-4.1-mini"``; the key is ``OPENAI_API_KEY``."""
    return OpenAIJobs(model)


def azure(model: str) -> OpenAIJobs:
    """``"azure:gpt-4.1-mini"``; ``AZURE_OPENAI_ENDPOINT`` and ``AZURE_OPENAI_API_KEY``."""
    return OpenAIJobs(model, profile="azure")


def nebius(model: str) -> OpenAIJobs:
    """``"nebius:meta-llama/Llama-3.1-8B-Instruct"``; the key is ``NEBIUS_API_KEY``."""
    return OpenAIJobs(model, profile="nebius")


def crusoe(model: str) -> OpenAIJobs:
    """``"crusoe:…"``; the key is ``CRUSOE_API_KEY``."""
    return OpenAIJobs(model, profile="crusoe")


def bedrock_mantle(model: str) -> OpenAIJobs:
    """``"bedrock-mantle:openai.gpt-oss-20b"``; ``AWS_REGION`` and ``AWS_BEARER_TOKEN_BEDROCK``."""
    return OpenAIJobs(model, profile="bedrock-mantle")


def litellm(model: str) -> OpenAIJobs:
    """``"litellm:…"``, a proxy of your own; ``LITELLM_BASE_URL`` and ``LITELLM_API_KEY``."""
    return OpenAIJobs(model, profile="litellm")


def compatible(spec: str) -> OpenAIJobs:
    """``"compatible:https://host.example/v1#model"``: any other host; the key is ``COMPATIBLE_API_KEY``."""
    url, hash_, model = spec.partition("#")
    if not hash_ or not model or not url.startswith(("http://", "https://")):
        raise ConfigError(f'compatible:{spec}: write it as "compatible:https://host.example/v1#model"')
    return OpenAIJobs(model, profile="compatible", base_url=url)
