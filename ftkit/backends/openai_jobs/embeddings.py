"""Embeddings of texts by a host's model, many texts a call
(https://platform.openai.com/docs/api-reference/embeddings/create)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ftkit.backends.hosted.errors import broken
from ftkit.backends.hosted.retry import Patience
from ftkit.backends.openai_jobs.sdk import Sdk, plain
from ftkit.errors import DataError, HostError

__all__ = ["OpenAIEmbedder"]

_TEXTS, _BYTES = 256, 300_000
"""In one call. OpenAI takes 2,048 texts and 300,000 tokens, of which none is shorter than a byte."""
_TOO_LONG = re.compile(r"(?i)\btokens?\b|\blength\b|too long")


class OpenAIEmbedder:
    """A model behind ``/embeddings``.

    Args:
        sdk: the host's.
        model: its name there.
        patience: how failing calls are tried again.
    """

    def __init__(self, sdk: Sdk, model: str, patience: Patience) -> None:
        self._sdk, self._model, self._patience = sdk, model, patience

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """The embedding of each text, none of them empty.

        Raises:
            DataError: one of them is longer than the model takes.
            HostError: the host refuses, or cannot be reached.
        """
        return [vector for part in _parts(texts) for vector in self._embedded(part)]

    def _embedded(self, texts: list[str]) -> list[list[float]]:
        # Numbers and not base64, which not every host of the family knows.
        asked = {"model": self._model, "input": texts, "encoding_format": "float"}
        try:
            return self._patience(
                lambda: self._read(
                    self._sdk.call("embedding texts", lambda: self._sdk.client.embeddings.create(**asked)), len(texts)
                )
            )
        except HostError as error:
            if error.status in (400, 413, 422) and _TOO_LONG.search(str(error)):
                raise DataError(str(error)) from None
            raise

    def _read(self, made: Any, count: int) -> list[list[float]]:
        found = {one.get("index"): one.get("embedding") for one in plain(made).get("data") or []}
        vectors = [found.get(number) for number in range(count)]
        whole = [one for one in vectors if isinstance(one, list) and one]
        if len(whole) != count or len({len(one) for one in whole}) != 1:
            raise broken("embedding texts", "not one vector for each text", host=self._sdk.name, secret=None)
        return whole


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """As many as fit into one call, in order."""
    part: list[str] = []
    size = 0
    for text in texts:
        here = len(text.encode("utf-8", "replace"))
        if part and (len(part) == _TEXTS or size + here > _BYTES):
            yield part
            part, size = [], 0
        part.append(text)
        size += here
    if part:
        yield part
