"""Failures of hosted APIs: which may pass, which leave a doubt, and what a person should do. Secrets are cut out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ftkit.errors import HostError

__all__ = ["advised", "broken", "redact", "refused"]

_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_NEVER = frozenset({"insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "training_not_available"})
_KEYS = re.compile(r"(?i)\b(bearer\s+)\S+|\b(sk|fw|tgp|pk|key|nb)[-_][A-Za-z0-9_*.-]{8,}")

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
_SAME = {
    "file_not_found": "invalid_file",
    "file_expired": "invalid_file",
    "moderation_failed": "content_policy_violation",
    "moderation_blocked": "content_policy_violation",
    "content_moderation_failed": "content_policy_violation",
    "quota_exceeded": "insufficient_quota",
}
"""Other words for the same."""
_BY_STATUS = {
    401: "The key is missing, wrong or was withdrawn; set one that is valid in the environment",
    402: "The account has no credit left; add some at the host, then start again",
    403: "The key may not do this; give it the right at the host, or use one that has it",
    404: "It does not exist there, or has expired or been deleted; `ftkit catalog` has the dates on which models end",
    413: "It is larger than the host takes; `ftkit catalog` has the limits",
    429: "Too many requests; ask again later, or fewer at once",
}
_BLOCKED = re.compile(r"(?i)moderation|usage polic|content polic|safety (check|evaluation|screen)")


def advised(message: str) -> str:
    """Why a job failed, by its host; with what to do about it where the host's own checks stopped it."""
    if not _BLOCKED.search(message):
        return message
    return (
        f"{message.rstrip('.')}. The host's safety checks stopped it: `ftkit runs events` shows what they found. Take "
        "such rows out, or train on this machine"
    )


def redact(text: str, *secrets: str | None) -> str:
    """``text`` without any of ``secrets``, and without what looks like a key."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    return _KEYS.sub("[key]", text)


def refused(
    doing: str, status: int, body: Any, headers: Mapping[str, str], *, host: str, secret: str | None
) -> HostError:
    """The error for an answer whose status says no.

    Args:
        doing: what was asked, e.g. ``"creating the job"``.
        body: the answer's body as parsed, or its text.
    """
    said, code = _said(body)
    passing = status in _PASSING and code not in _NEVER
    advice = _ADVICE.get(_SAME.get(code or "", code or "")) or _BY_STATUS.get(status)
    request = headers.get("x-request-id")
    parts = [f"{host}: {doing} was refused with {status}" + (f" ({redact(code, secret)})" if code else "")]
    if said:
        parts.append(redact(said.rstrip("."), secret))
    if advice:
        parts.append(advice)
    message = ". ".join(parts) + (f" [request {redact(request, secret)}]" if request else "")
    return HostError(
        message,
        status=status,
        code=code,
        passing=passing,
        unsure=status >= 500 or status in (408, 409),
        retry_after_s=_retry_after(headers),
    )


def broken(doing: str, why: str, *, host: str, secret: str | None) -> HostError:
    """The error for a call without a whole answer: it may or may not have been carried out."""
    return HostError(redact(f"{host}: {doing} got no whole answer: {why}", secret), passing=True, unsure=True)


def _said(body: Any) -> tuple[str, str | None]:
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
    """Seconds; the header holds them, or a date, and ``retry-after-ms`` milliseconds."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        said = headers.get("retry-after")
        if said is None:
            return None
        try:
            return max(0.0, float(said))
        except ValueError:
            return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
