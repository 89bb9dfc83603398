"""A metric: answers that name no patient identifier which the note does not contain."""

from __future__ import annotations

import re

from ftkit.evaluation import RowResult

_IDENTIFIER = re.compile(r"\b[A-Z]{2}-\d{4,}\b")


def no_invented_identifiers(row: RowResult) -> bool | None:
    """answers whose patient identifiers all occur in the prompt"""
    if not row.readable:
        return None
    prompt = " ".join(str(message.get("content")) for message in row.prompt)
    return set(_IDENTIFIER.findall(row.text)) <= set(_IDENTIFIER.findall(prompt))
