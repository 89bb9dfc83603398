"""Tokens into text while they come, and where a stop string ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Transcript"]

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class Transcript:
    """The text of one answer, given out as soon as it is certain.

    Characters are held back while their bytes are not all there, and while they may be the beginning of a stop string.
    The pieces together are what decoding all tokens at once gives, cut before the first stop string.

    Args:
        decode: from token ids to text, without special tokens.
        stops: strings that end the text and are no part of it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode, self._stops = decode, tuple(stops)
        self._ids: list[int] = []
        # Tokens whose text is known up to ``_read`` are decoded again from ``_begin`` on: a token alone does not know
        # its text (see ftkit.modeling.tokenizer).
        self._begin = self._read = 0
        self._kept = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that is certain now and was not before; ``stopped`` is set when a stop string came."""
        self._ids.append(token)
        known = self._decode(self._ids[self._begin : self._read])
        text = self._decode(self._ids[self._begin :])
        if text.endswith(_UNFINISHED):
            return ""
        self._begin, self._read = self._read, len(self._ids)
        return self._certain(text[len(known) :])

    def end(self) -> str:
        """The rest, when no token follows."""
        if self.stopped:
            return ""
        known = self._decode(self._ids[self._begin : self._read])
        found = self._certain(self._decode(self._ids[self._begin :])[len(known) :])
        rest, self._kept = self._kept, ""
        return found + rest

    def _certain(self, text: str) -> str:
        self._kept += text
        places = [place for stop in self._stops if (place := self._kept.find(stop)) >= 0]
        if places:
            found, self._kept, self.stopped = self._kept[: min(places)], "", True
            return found
        held = max((_overlap(self._kept, stop) for stop in self._stops), default=0)
        certain = len(self._kept) - held
        found, self._kept = self._kept[:certain], self._kept[certain:]
        return found


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of ``text`` that ``stop`` begins with."""
    most = min(len(text), len(stop) - 1)
    return next((count for count in range(most, 0, -1) if text.endswith(stop[:count])), 0)
