"""Stored completions of an account, with the messages that were sent."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ftkit.backends.openai_jobs.backend import OpenAIJobs

__all__ = ["stored_completions"]


def stored_completions(
    backend: OpenAIJobs, *, model: str | None = None, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """List stored completions, the newest first. Each takes one call for its messages.

    Args:
        backend: the host, with any model.
        model: only completions of this model.
        limit: at most this many.

    Yields:
        Completions as the API lists them, with their messages in ``messages``.
    """
    host, policy = backend.host(), backend.retry_policy
    completions = host.sdk.client.chat.completions
    query: dict[str, Any] = {"order": "desc"} if model is None else {"order": "desc", "model": model}

    def messages(completion: str) -> list[dict[str, Any]]:
        list_page = functools.partial(completions.messages.list, completion, order="asc")
        return policy(lambda: list(host.pages("reading a completion's messages", list_page)))

    found = host.pages("listing completions", lambda **page: completions.list(**page, **query))
    for completion in islice(found, limit):
        sent = [
            {key: turn[key] for key in ("role", "content", "tool_calls", "tool_call_id") if turn.get(key) is not None}
            for turn in messages(completion["id"])
        ]
        yield {**completion, "messages": sent}
