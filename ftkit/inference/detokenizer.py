"""Incremental detokenization: token ids into text as they come, up to the first stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["IncrementalDetokenizer"]

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class IncrementalDetokenizer:
    """The text of one answer, released as soon as it is certain.

    Text is held back while the bytes of a character are incomplete, and while it may be the start of a stop string. All
    released texts together equal the decoding of all tokens at once, cut before the first stop string.

    Args:
        decode: turns token ids into text, without special tokens.
        stop: strings that end the text and are not part of it.

    Attributes:
        stopped: whether a stop string was found.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode, self._stop = decode, tuple(stop)
        self._ids: list[int] = []
        # A token by itself does not determine its text (see ftkit.modeling.tokenizer), so the tokens from ``_prefix``
        # on are decoded again with each new one; the text up to ``_decoded`` is known.
        self._prefix = self._decoded = 0
        self._pending = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Add a token.

        Args:
            token: its id.

        Returns:
            The text that has become certain; may be empty.
        """
        self._ids.append(token)
        known = self._decode(self._ids[self._prefix : self._decoded])
        text = self._decode(self._ids[self._prefix :])
        if text.endswith(_INCOMPLETE):
            return ""
        self._prefix, self._decoded = self._decoded, len(self._ids)
        return self._release(text[len(known) :])

    def end(self) -> str:
        """Release what is held back, when no token follows.

        Returns:
            The rest of the text.
        """
        if self.stopped:
            return ""
        known = self._decode(self._ids[self._prefix : self._decoded])
        released = self._release(self._decode(self._ids[self._prefix :])[len(known) :])
        rest, self._pending = self._pending, ""
        return released + rest

    def _release(self, text: str) -> str:
        self._pending += text
        positions = [at for stop in self._stop if (at := self._pending.find(stop)) >= 0]
        if positions:
            released, self._pending, self.stopped = self._pending[: min(positions)], "", True
            return released
        overlap = max((_overlap(self._pending, stop) for stop in self._stop), default=0)
        end = len(self._pending) - overlap
        released, self._pending = self._pending[:end], self._pending[end:]
        return released


def _overlap(text: str, stop: str) -> int:
    """Count the characters at the end of ``text`` with which ``stop`` starts."""
    most = min(len(text), len(stop) - 1)
    return next((count for count in range(most, 0, -1) if text.endswith(stop[:count])), 0)
