"""Names on the command line: the model to replace, and the candidates."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from ftkit.backends.registry import HOSTS, known_backends
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError

__all__ = ["CandidateName", "SourceName", "report_path"]

_DEFAULT_HOST = "openai"
_OPENAI_FORMS = ("ft:", "ftjob-")

_KINDS: dict[str, Literal["prompt", "optimised"]] = {"prompt": "prompt", "optimised-prompt": "optimised"}
"""Kinds of candidates by the word before their model."""


@dataclass(frozen=True, slots=True)
class SourceName:
    """The model to replace.

    Attributes:
        host: name of the host's profile.
        name: id of a job, or name of a tuned model or of a checkpoint of one.
    """

    host: str
    name: str

    @property
    def is_job(self) -> bool:
        """Whether it is the id of one of OpenAI's jobs, so that only the host knows the model."""
        return self.name.startswith("ftjob-")

    @classmethod
    def parse(cls, text: str) -> SourceName:
        """Read a name.

        Args:
            text: ``"openai:ftjob-…"``, ``"openai:ft:…"``, or the same without ``openai:``; or another host's.

        Returns:
            The name.

        Raises:
            ConfigError: it names neither a job nor a tuned model of a host with OpenAI's jobs API.
        """
        host, colon, name = text.partition(":")
        if colon and name and host in HOSTS:
            return cls(host, name)
        if text.startswith(_OPENAI_FORMS) and len(text) > len("ftjob-"):
            return cls(_DEFAULT_HOST, text)
        raise ConfigError(
            f"{text!r} names no tuned model: write HOST:JOB or HOST:MODEL, e.g. openai:ftjob-abc or openai:ft:gpt-…; "
            f"hosts with OpenAI's jobs API are {', '.join(HOSTS.names())}"
        )


@dataclass(frozen=True, slots=True)
class CandidateName:
    """A way out.

    Attributes:
        text: as it was given.
        kind: ``"tuned"`` to train the model, ``"prompt"`` to ask it as it is, ``"optimised"`` to search for its prompt.
        model: ``"backend:model"``.
    """

    text: str
    kind: Literal["tuned", "prompt", "optimised"]
    model: str

    @classmethod
    def parse(cls, text: str) -> CandidateName:
        """Read a name.

        Args:
            text: ``"backend:model"``, ``"prompt:backend:model"`` or ``"optimised-prompt:backend:model"``.

        Returns:
            The name.

        Raises:
            ConfigError: it has another form, or there is no such backend.
        """
        marker, _, rest = text.partition(":")
        if marker == "optimized-prompt":
            marker, text = "optimised-prompt", f"optimised-prompt:{rest}"
        kind: Literal["tuned", "prompt", "optimised"] = _KINDS.get(marker, "tuned")
        backend, colon, model = text.partition(":") if kind == "tuned" else rest.partition(":")
        if not (colon and backend and model):
            raise ConfigError(
                ErrorText(
                    *(Argument("to", text="to"), f" {text!r} names no candidate: write BACKEND:MODEL to train it, "),
                    "prompt:BACKEND:MODEL to ask it with the prompt alone, or optimised-prompt:BACKEND:MODEL to search "
                    "for its prompt",
                )
            )
        if backend not in known_backends():
            raise ConfigError(
                ErrorText(
                    *(Argument("to", text="to"), f" {text!r}: there is no backend {backend!r}; known are "),
                    ", ".join(sorted(known_backends())),
                )
            )
        return cls(text, kind, f"{backend}:{model}")

    @property
    def slug(self) -> str:
        """Name of the candidate's folder: readable, and different for different names."""
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", self.text).strip("-.")[:48]
        return f"{readable}-{hashlib.sha256(self.text.encode()).hexdigest()[:6]}"


def report_path(candidate: CandidateName) -> str:
    """Return where a candidate's report is.

    Args:
        candidate: the candidate.

    Returns:
        The path below the migration's folder.
    """
    return f"candidates/{candidate.slug}/report.json"
