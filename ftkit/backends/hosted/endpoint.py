"""Where a host is, which key opens it, and how its chat completions differ."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from ftkit.errors import ConfigError

__all__ = ["Endpoint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host.

    Attributes:
        name: of the backend.
        url: base URL; ``{}`` is filled from ``url_variable``. Empty: there is no default.
        url_variable: environment variable with the base URL, or the part of it that varies.
        key_variables: environment variables that may hold the key, the first that is set.
        token_limit: the name of the parameter that limits an answer.
        strict_schemas: whether ``strict`` structured outputs are offered.
        batches: whether questions can be sent as a batch in OpenAI's form.
    """

    name: str
    url: str
    url_variable: str
    key_variables: tuple[str, ...]
    token_limit: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"  # noqa: S105
    strict_schemas: bool = False
    batches: bool = False

    def address(self, given: str | None) -> str:
        """The base URL: the argument's, the environment's or the default.

        Raises:
            ConfigError: there is none.
        """
        said = given or os.environ.get(self.url_variable, "")
        if not given and "{}" in self.url and said and "://" not in said:
            said = self.url.replace("{}", said)
        url = (said or self.url).rstrip("/")
        if not url or "{}" in url:
            raise ConfigError(f"where is {self.name}? Set {self.url_variable}, or pass base_url=")
        return url

    def key(self, given: str | None) -> str:
        """The key: the argument's or the environment's.

        Raises:
            ConfigError: there is none.
        """
        key = given or next((os.environ[name] for name in self.key_variables if os.environ.get(name)), "")
        if not key:
            raise ConfigError(f"{self.name} needs a key: set {' or '.join(self.key_variables)}, or pass api_key=")
        return key
