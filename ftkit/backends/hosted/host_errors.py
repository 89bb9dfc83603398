"""Turn failures of hosted APIs into errors that say whether to retry, and what the user can do.

Secrets are removed from every message.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ftkit.backends.hosted.redaction import redact
from ftkit.errors import ConfigError, HostError

__all__ = ["broken_call_error", "proxy_errors", "redirect_error", "refusal_error", "was_sent", "with_advice"]

_LONGEST_RETRY_AFTER_S = 3600.0
_TRANSIENT_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_PERMANENT_CODES = frozenset(
    {"insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "training_not_available"}
)
_UNSENT_ERRORS = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "InvalidURL"})
"""Errors of httpx that are raised before a request is sent."""

_ADVICE = {
    "training_not_available": (
        "The host no longer takes training jobs from this organisation; `ftkit catalog` says where else the recipe "
        "can run. Nothing was charged"
    ),
    "insufficient_quota": "The account has no credit left; add some at the host, then start again",
    "billing_hard_limit_reached": "The account's spending limit is reached; raise it at the host, then start again",
    "invalid_api_key": "The key is wrong or was withdrawn; make a new one at the host, and put it into the environment",
    "model_not_found": (
        "The model does not exist there, has been switched off (see `ftkit catalog`), or the key may not use it"
    ),
    "invalid_file": "The file is not there, or has expired; start again, and the rows are sent again",
    "content_filter": "The host's content filter stopped it; change the rows it names, or use a model on this machine",
    "content_policy_violation": (
        "The host's usage policy stopped it; change the rows it names, or use a model on this machine"
    ),
}
_LICENCE_PATTERN = re.compile(r"(?i)must be an? .{0,40}\b(enterprise|premium) user|\b(enterprise|premium) licen[cs]e")
_LICENCE_ADVICE = (
    "A LiteLLM proxy offers its fine-tuning routes with an Enterprise licence only. Its pass-through path to OpenAI "
    "needs none: set the address to http://PROXY/openai/v1"
)
_CODE_ALIASES = {
    "file_not_found": "invalid_file",
    "file_expired": "invalid_file",
    "moderation_failed": "content_policy_violation",
    "moderation_blocked": "content_policy_violation",
    "content_moderation_failed": "content_policy_violation",
    "quota_exceeded": "insufficient_quota",
}
"""Codes that hosts use for the same failure."""
_ADVICE_BY_STATUS = {
    401: "The key is missing, wrong or was withdrawn; set one that is valid in the environment",
    402: "The account has no credit left; add some at the host, then start again",
    403: "The key may not do this; give it the right at the host, or use one that has it",
    404: "It does not exist there, or has expired or been deleted; `ftkit catalog` has the dates on which models end",
    413: "It is larger than the host takes; `ftkit catalog` has the limits",
    429: "Too many requests; ask again later, or fewer at once",
}
_MODERATION_PATTERN = re.compile(r"(?i)moderation|usage polic|content polic|safety (check|evaluation|screen)")


@contextlib.contextmanager
def proxy_errors(host: str) -> Iterator[None]:
    """Raise the errors of making an HTTP client, which reads the proxies of the environment, as ``ConfigError``.

    Args:
        host: name of the host.

    Yields:
        Nothing.

    Raises:
        ConfigError: a proxy has an address that is none, or of an unknown kind.
    """
    reason: Exception
    try:
        yield
    except (ImportError, ValueError) as error:
        reason = error
    except Exception as error:
        if type(error).__name__ != "InvalidURL":
            raise
        reason = error
    else:
        return
    raise ConfigError(
        f"{host}: a proxy of the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) cannot be used: {redact(str(reason))}"
    )


def with_advice(message: str) -> str:
    """Add what the user can do to the reason of a failed job, if the host's safety checks stopped it.

    Args:
        message: the reason that the host gives.

    Returns:
        The message, with advice where there is any.
    """
    if not _MODERATION_PATTERN.search(message):
        return message
    return (
        f"{message.rstrip('.')}. The host's safety checks stopped it: `ftkit runs events` shows what they found. "
        "Remove such rows, or train on this machine"
    )


def refusal_error(
    action: str, status: int, body: Any, headers: Mapping[str, str], *, host: str, secret: str | None
) -> HostError:
    """Return the error for a response with an error status.

    Args:
        action: what the call does, e.g. ``"creating the job"``.
        status: HTTP status.
        body: the parsed body of the response, or its text.
        headers: the headers of the response.
        host: name of the host.
        secret: the key that was sent.

    Returns:
        The error, to be raised outside of an ``except`` clause that caught the library's own error.
    """
    reason, code = _reason(body)
    licence = bool(_LICENCE_PATTERN.search(reason))  # said with status 500, by a proxy that asks no host
    transient = status in _TRANSIENT_STATUSES and code not in _PERMANENT_CODES and not licence
    advice = _ADVICE.get(_CODE_ALIASES.get(code or "", code or "")) or _ADVICE_BY_STATUS.get(status)
    advice = _LICENCE_ADVICE if licence else advice
    request_id = headers.get("x-request-id")
    parts = [f"{host}: {action} was refused with {status}" + (f" ({redact(code, secret)})" if code else "")]
    if reason:
        parts.append(redact(reason.rstrip("."), secret))
    if advice:
        parts.append(advice)
    message = ". ".join(parts) + (f" [request {redact(request_id, secret)}]" if request_id else "")
    return HostError(
        message,
        status=status,
        code=code,
        passing=transient,
        unsure=(status >= 500 or status in (408, 409)) and not licence,
        retry_after_s=_retry_after(headers),
    )


def broken_call_error(action: str, reason: str, *, host: str, secret: str | None, sent: bool = True) -> HostError:
    """Return the error for a call without a complete response, which the host may or may not have carried out.

    Args:
        action: what the call does, e.g. ``"creating the job"``.
        reason: what went wrong.
        host: name of the host.
        secret: the key that was sent.
        sent: whether the request may have reached the host. False: there was no connection.

    Returns:
        The error, which says that a retry may help.
    """
    problem = "got no complete response" if sent else "did not reach the host"
    message = redact(f"{host}: {action} {problem}: {reason}", secret)
    return HostError(message, passing=True, unsure=sent)


def redirect_error(action: str, target: str, *, host: str, secret: str | None) -> HostError:
    """Return the error for a redirect that is not followed, because the rows or prompts would be sent along.

    Args:
        action: what the call does, e.g. ``"creating the job"``.
        target: the address that the host gave.
        host: name of the host.
        secret: the key that was sent.

    Returns:
        The error.
    """
    shown = redact(target.partition("?")[0], secret)[:300]
    message = (
        f"{host}: {action} was redirected to {shown}. Nothing was sent there: ftkit follows redirects of requests with "
        "contents at the same host only. If this is the host's address now, set it"
    )
    return HostError(message, status=None)


def was_sent(error: BaseException | None) -> bool:
    """Return whether a request that failed with an error of httpx may have reached the host.

    Args:
        error: the error.

    Returns:
        False if there was no connection to send it on.
    """
    return type(error).__name__ not in _UNSENT_ERRORS


def _reason(body: Any) -> tuple[str, str | None]:
    """The message and code in an error's body, whatever its form."""
    if isinstance(body, str | bytes):
        try:
            body = json.loads(body)
        except ValueError:
            text = body.decode(errors="replace") if isinstance(body, bytes) else body
            return text.strip()[:300], None
    if not isinstance(body, Mapping):
        return "" if body is None else str(body)[:300], None
    inner = body.get("error", body)
    if not isinstance(inner, Mapping):
        return str(inner)[:300], None
    message = inner.get("message") or inner.get("detail") or body.get("message") or ""
    code = inner.get("code") or inner.get("type")
    return str(message)[:1000], None if code is None else str(code)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait. ``retry-after`` holds seconds or a date, ``retry-after-ms`` milliseconds."""
    try:
        if "retry-after-ms" in headers:
            return _bounded(float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            return _bounded(float(value))
        except ValueError:
            return _bounded((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    return min(_LONGEST_RETRY_AFTER_S, max(0.0, seconds))
