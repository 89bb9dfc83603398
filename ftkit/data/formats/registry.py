"""The registry of dataset formats."""

from __future__ import annotations

from typing import Any

from ftkit.data.formats.base import Format
from ftkit.errors import ConfigError
from ftkit.registry import Registry

__all__ = ["FORMATS", "detected_formats"]


def _check(name: str, item: Any) -> Format:
    """An instance of a registered class; refuses anything else."""
    instance = item() if isinstance(item, type) else item
    if not isinstance(instance, Format):
        raise ConfigError(f"the format {name!r} must be a subclass of ftkit.data.formats.Format, this is {item!r}")
    if instance.name != name:
        raise ConfigError(f"the format {name!r} calls itself {instance.name!r}; both names must be the same")
    return instance


FORMATS: Registry[Format] = Registry(
    "dataset format",
    group="ftkit.formats",
    built_in={
        "table": "ftkit.data.formats.table:Table",
        "openai": "ftkit.data.formats.openai:OpenAI",
        "prompt_completion": "ftkit.data.formats.prompt_completion:PromptCompletion",
        "alpaca": "ftkit.data.formats.alpaca:Alpaca",
        "sharegpt": "ftkit.data.formats.sharegpt:ShareGPT",
        "sharegpt_preference": "ftkit.data.formats.sharegpt:ShareGPTPreference",
        "openai_preference": "ftkit.data.formats.openai_preference:OpenAIPreference",
        "trl_preference": "ftkit.data.formats.trl_preference:TRLPreference",
        "trl_unpaired_preference": "ftkit.data.formats.trl_unpaired_preference:TRLUnpairedPreference",
        "openai_prompts": "ftkit.data.formats.openai:OpenAIPrompts",
        "trl_messages": "ftkit.data.formats.trl:TRLMessages",
        "trl_prompts": "ftkit.data.formats.trl:TRLPrompts",
        "text": "ftkit.data.formats.plain_text:PlainText",
        "otel": "ftkit.data.formats.traces.otel:OpenTelemetry",
        "langfuse": "ftkit.data.formats.traces.langfuse:Langfuse",
        "langsmith": "ftkit.data.formats.traces.langsmith:LangSmith",
        "litellm": "ftkit.data.formats.traces.litellm:LiteLLM",
        "openai_stored": "ftkit.data.formats.traces.openai_stored:OpenAIStored",
    },
    check=_check,
)
"""All dataset formats by name; packages add theirs under the entry-point group ``ftkit.formats``."""


def detected_formats() -> tuple[Format, ...]:
    """List the formats that ``format="auto"`` considers.

    Returns:
        ftkit's own and those of installed packages and scripts. A package's format that cannot be loaded is left out
        with a warning.
    """
    return tuple(format_ for format_ in dict(FORMATS.items()).values() if format_.is_detected)
