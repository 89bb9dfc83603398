"""The address and key of a host, and how its chat completions differ from OpenAI's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from ftkit.backends.hosted.redaction import check_key
from ftkit.errors import ConfigError

__all__ = ["Endpoint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one host is and how to call it.

    Attributes:
        name: name of the backend.
        url: base URL; ``{}`` is replaced by the value of ``url_variable``. Empty: there is no default.
        url_variable: environment variable with the base URL, or with the part of it that varies.
        key_variables: environment variables that may hold the key; the first one that is set is used.
        token_limit: name of the request parameter that limits the length of an answer.
        strict_schemas: whether the host offers ``strict`` structured outputs.
        batches: whether the host takes batches of requests in OpenAI's format.
        url_suffix: what is appended to an address that does not end in ``/v1``.
    """

    name: str
    url: str
    url_variable: str
    key_variables: tuple[str, ...]
    token_limit: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"  # noqa: S105
    strict_schemas: bool = False
    batches: bool = False
    url_suffix: str = ""

    def address(self, base_url: str | None) -> str:
        """Return the base URL: the argument, else the environment variable, else the default.

        Args:
            base_url: the address that the user passed.

        Returns:
            The base URL without a trailing slash.

        Raises:
            ConfigError: none of the three is set.
        """
        from_environment = os.environ.get(self.url_variable, "")
        if "{}" in self.url and from_environment and "://" not in from_environment:
            from_environment = self.url.replace("{}", from_environment)
        url = (base_url or from_environment or self.url).rstrip("/")
        if not url or "{}" in url:
            raise ConfigError(f"the address of {self.name} is not set: set {self.url_variable}, or pass base_url=")
        self.check_address(url)
        return url if url.endswith("/v1") else f"{url}{self.url_suffix}"

    def check_address(self, url: str) -> None:
        """Refuse an address that contains a secret, because addresses are stored with runs and shown.

        Args:
            url: the base URL.

        Raises:
            ConfigError: it has a user name, a password or parameters, or is no HTTP address.
        """
        try:
            parts = urlsplit(url)
            host = f"{parts.hostname or ''}{'' if parts.port is None else f':{parts.port}'}"
        except ValueError:
            parts, host = urlsplit(""), ""
        secret = "a user name or a password" if "@" in parts.netloc else None
        secret = "parameters" if parts.query else secret
        if secret is not None:
            raise ConfigError(
                f"the address of {self.name} contains {secret}, and addresses are stored with runs and shown. Set the "
                f"key as {' or '.join(self.key_variables)}, and the address to {parts.scheme}://{host}{parts.path}"
            )
        if parts.scheme not in ("http", "https") or not host or parts.fragment:
            raise ConfigError(
                f"the address of {self.name} is no base URL: write it as https://host.example/v1, in "
                f"{self.url_variable} or base_url="
            )

    def key(self, api_key: str | None) -> str:
        """Return the API key: the argument, else the environment's.

        Args:
            api_key: the key that the user passed.

        Returns:
            The key.

        Raises:
            ConfigError: there is none, or it cannot be kept out of messages.
        """
        if api_key is not None and api_key != "":
            return check_key(api_key, self.name, "api_key=")
        variable = next((name for name in self.key_variables if os.environ.get(name)), None)
        if variable is None:
            raise ConfigError(f"{self.name} needs a key: set {' or '.join(self.key_variables)}, or pass api_key=")
        return check_key(os.environ[variable], self.name, variable)
