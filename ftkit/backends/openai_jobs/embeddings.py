"""Embed texts by a host's model, many texts in a call.

Source: https://platform.openai.com/docs/api-reference/embeddings/create.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ftkit.backends.hosted.host_errors import broken_call_error
from ftkit.backends.hosted.retry import PaidCalls, RetryPolicy
from ftkit.backends.openai_jobs.sdk import Sdk, to_dict
from ftkit.errors import DataError, HostError

__all__ = ["OpenAIEmbedder"]

_MAX_TEXTS, _MAX_BYTES = 256, 300_000
"""Limits of one call. OpenAI takes 2,048 texts and 300,000 tokens, and no token is shorter than a byte."""
_TOO_LONG_PATTERN = re.compile(r"(?i)\btokens?\b|\blength\b|too long")


class OpenAIEmbedder:
    """A model behind ``/embeddings``.

    Args:
        sdk: the host.
        model: the model's name there.
        retry_policy: how failing calls are retried.
    """

    def __init__(self, sdk: Sdk, model: str, retry_policy: RetryPolicy) -> None:
        self._sdk, self._model, self._retry_policy = sdk, model, retry_policy

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts.

        Args:
            texts: the texts, none of them empty.

        Returns:
            One vector for each text.

        Raises:
            DataError: a text is longer than the model takes.
        """
        return [vector for batch in _split(texts) for vector in self._embed(batch)]

    def _embed(self, texts: list[str]) -> list[list[float]]:
        # Numbers instead of base64, which some hosts do not know.
        body = {"model": self._model, "input": texts, "encoding_format": "float"}

        def attempt() -> list[list[float]]:
            response = self._sdk.call("embedding texts", lambda: self._sdk.client.embeddings.create(**body))
            return self._read(response, len(texts))

        try:
            return self._retry_policy(attempt, paid=PaidCalls())
        except HostError as error:
            if error.status in (400, 413, 422) and _TOO_LONG_PATTERN.search(str(error)):
                raise DataError(str(error)) from None
            raise

    def _read(self, response: Any, count: int) -> list[list[float]]:
        by_index = {item.get("index"): item.get("embedding") for item in to_dict(response).get("data") or []}
        vectors = [vector for index in range(count) if isinstance(vector := by_index.get(index), list) and vector]
        if len(vectors) != count or len({len(vector) for vector in vectors}) != 1:
            raise broken_call_error("embedding texts", "not one vector for each text", host=self._sdk.name, secret=None)
        return vectors


def _split(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, as many at a time as fit into one call."""
    batch: list[str] = []
    size = 0
    for text in texts:
        text_size = len(text.encode("utf-8", "replace"))
        if batch and (len(batch) == _MAX_TEXTS or size + text_size > _MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += text_size
    if batch:
        yield batch
