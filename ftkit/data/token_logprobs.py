"""The log-probabilities of an answer's tokens in a row, as servers return them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ftkit.data.strict_json import parse_json
from ftkit.errors import DataError, Place

__all__ = ["Alternatives", "read_token_logprobs"]

Alternatives = dict[bytes, float]
"""Log-probabilities of tokens that may stand at a position, by their bytes; the first is the one that stands there."""

_SLACK = 0.01
"""By how much probabilities may exceed 1, as they are rounded."""
_LEAST = -1e9
"""Servers write -9999 for what is very unlikely."""


def read_token_logprobs(value: Any, place: Place, field: str = "logprobs") -> list[Alternatives]:
    """Read the log-probabilities of an answer.

    Args:
        value: the ``logprobs`` of a choice of ``/v1/chat/completions`` (an object with ``content``) or of
            ``/v1/completions`` (an object with ``tokens``, ``token_logprobs`` and ``top_logprobs``), or the list of an
            output text of ``/v1/responses``; or one of these as JSON text.
        place: of the row.
        field: name of the column.

    Returns:
        For each token of the answer the likeliest tokens at its position.

    Raises:
        DataError: the value has another form, or holds what is no log-probability; names the place inside it.
    """
    if isinstance(value, str):
        value = parse_json(value, place, field)
    if isinstance(value, Mapping) and isinstance(value.get("tokens"), list):
        value, field = _legacy(value, place, field), f"{field}.tokens"
    elif isinstance(value, Mapping):
        value, field = value.get("content"), f"{field}.content"
    if not isinstance(value, list) or not value:
        raise DataError(
            "must be the logprobs of a chat completion, with a list of the answer's tokens in content",
            place=place,
            field=field,
        )
    return [_position(item, place, f"{field}[{at}]") for at, item in enumerate(value)]


def _legacy(value: Mapping[str, Any], place: Place, field: str) -> list[Any]:
    """The form of ``/v1/completions`` in that of chat completions."""
    tokens = value["tokens"]
    logprobs, top = value.get("token_logprobs"), value.get("top_logprobs") or [None] * len(tokens)
    if not isinstance(logprobs, list) or not isinstance(top, list) or not len(tokens) == len(logprobs) == len(top):
        raise DataError("tokens, token_logprobs and top_logprobs must be lists of one length", place=place, field=field)
    others = [
        [{"token": name, "logprob": number} for name, number in each.items()] if isinstance(each, Mapping) else []
        for each in top
    ]
    return [
        {"token": token, "logprob": number, "top_logprobs": other}
        for token, number, other in zip(tokens, logprobs, others, strict=True)
    ]


def _position(item: Any, place: Place, field: str) -> Alternatives:
    if not isinstance(item, Mapping):
        raise DataError("must be an object with token and logprob", place=place, field=field)
    others = item.get("top_logprobs") or []
    if not isinstance(others, list):
        raise DataError("must be a list", place=place, field=f"{field}.top_logprobs")
    found = dict([_token(item, place, field)])
    for at, other in enumerate(others):
        token, logprob = _token(other, place, f"{field}.top_logprobs[{at}]")
        found.setdefault(token, logprob)
    total = sum(math.exp(logprob) for logprob in found.values())
    if total > 1 + _SLACK:
        raise DataError(
            f"the probabilities of its tokens add up to {total:.3g}, which is more than 1", place=place, field=field
        )
    return found


def _token(item: Any, place: Place, field: str) -> tuple[bytes, float]:
    if not isinstance(item, Mapping) or not isinstance(item.get("token"), str):
        raise DataError("must have a token, which is a text", place=place, field=field)
    logprob: Any = item.get("logprob")
    number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    if not number or not _LEAST < logprob <= _SLACK:
        raise DataError(
            f"must be the logarithm of a probability, a number of at most 0; this is {logprob!r:.40}",
            place=place,
            field=f"{field}.logprob",
        )
    value, written = min(0.0, float(logprob)), item.get("bytes")
    if written is None:
        return item["token"].encode("utf-8", "surrogatepass"), value
    try:
        if isinstance(written, list):
            return bytes(written), value
    except (TypeError, ValueError):
        pass
    raise DataError("must be a list of bytes, from 0 to 255", place=place, field=f"{field}.bytes")
