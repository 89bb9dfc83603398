"""Read the lists of OpenAI's API page by page, to an end that a host cannot put off for ever."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from ftkit.backends.openai_jobs.sdk import Sdk, to_dict
from ftkit.errors import HostError

__all__ = ["read_pages"]

_PAGE_SIZE = 100
_MAX_PAGES = 10_000
_MAX_SECONDS = 1800.0


def read_pages(sdk: Sdk, action: str, list_page: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Read a list page by page.

    Args:
        sdk: the client.
        action: what the call does, for messages.
        list_page: reads one page; takes ``limit`` and ``after``.

    Yields:
        The items of all pages.

    Raises:
        HostError: a page cannot be read, or the list does not end.
    """
    after: str | None = None
    last_ids: set[str] = set()
    end = time.monotonic() + _MAX_SECONDS
    for number in itertools.count():
        if number >= _MAX_PAGES or time.monotonic() > end:
            raise HostError(f"{sdk.name}: {action}: the list has no end; {number:,} pages were read")
        options = {"limit": _PAGE_SIZE} | ({"after": after} if after else {})
        page = sdk.call(action, functools.partial(list_page, **options))
        items = [to_dict(item) for item in (getattr(page, "data", None) or [])]
        yield from items
        after = str(items[-1].get("id")) if items else None
        # Hosts that do not page may say has_more all the same, or return the same page again.
        if not getattr(page, "has_more", False) or after is None or after in last_ids:
            return
        last_ids.add(after)
