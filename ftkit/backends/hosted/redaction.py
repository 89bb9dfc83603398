"""Keep API keys out of messages, logs and files: which keys can be removed from a text, and how."""

from __future__ import annotations

import re

from ftkit.errors import ConfigError
from ftkit.printable import USER_PATTERN

__all__ = ["check_key", "redact", "without_secret"]

_SHORTEST = 8
"""Characters of the shortest key that is taken. A shorter one occurs in texts by chance; no host gives such keys."""
_PLACEHOLDERS = frozenset({"any", "dummy", "empty", "fake", "no-key", "none", "not-needed", "unused"})
"""Words that stand for a key at servers that need none. They are no secrets."""
_WORD = re.compile(r"[A-Za-z]{1,15}|[0-9]{1,15}")
"""Keys that may also be a word or a number of the text around them."""

_KEY_PATTERN = re.compile(
    r"(?i)\b(bearer\s+)(?=\S{0,200}[0-9*])\S+|"
    r"\b(sk|fw|tgp|pk|key|nb|hf|gsk|xai|nvapi|ghp|glpat)[-_](?=[A-Za-z_.-]{0,200}[0-9*])[A-Za-z0-9_*.-]{8,}"
)
"""What looks like a key. Keys have digits, or asterisks where a host has masked them; words such as ``key-value-pairs``
have neither."""


def check_key(key: str, host: str, source: str) -> str:
    """Refuse a key that could not be removed from messages without destroying them.

    Args:
        key: the key.
        host: name of the host.
        source: where the key is from: an environment variable, or ``"api_key="``.

    Returns:
        The key.

    Raises:
        ConfigError: it is no text, has fewer than 8 characters and is no placeholder such as ``"none"``, or has spaces
            or control characters in it. The message does not contain it.
    """
    if not isinstance(key, str):
        raise ConfigError(f"{host}: the key of {source} must be a text, not of type {type(key).__name__}")
    if len(key) < _SHORTEST and key.lower() not in _PLACEHOLDERS:
        raise ConfigError(
            f"{host}: the key of {source} has {len(key)} character{'s' if len(key) > 1 else ''}, and messages cannot "
            f'be kept free of such a short one; give the whole key, or "none" for a server that needs no key'
        )
    if not key.isprintable() or any(character.isspace() for character in key):
        raise ConfigError(f"{host}: the key of {source} has spaces or control characters in it; give the key alone")
    return key


def without_secret(text: str, secret: str) -> str:
    """Replace a secret in a text.

    A secret that may also be a word is replaced where it stands alone, any other one everywhere. Placeholders stay.

    Args:
        text: the text.
        secret: the secret; empty if there is none.

    Returns:
        The text with ``[key]`` in place of the secret.
    """
    if not secret or secret.lower() in _PLACEHOLDERS or secret not in text:
        return text
    if len(secret) < _SHORTEST or _WORD.fullmatch(secret):
        return re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", "[key]", text)
    return text.replace(secret, "[key]")


def redact(text: str, *secrets: str | None) -> str:
    """Remove secrets from a text.

    Args:
        text: the text.
        *secrets: known secrets.

    Returns:
        The text with ``[key]`` in place of each secret and of everything that looks like an API key.
    """
    for secret in secrets:
        text = without_secret(text, secret or "")
    return _KEY_PATTERN.sub("[key]", USER_PATTERN.sub("://[key]@", text))
