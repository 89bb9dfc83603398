"""An answer in progress: its text, tool calls and log-probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ftkit.inference.protocol import Finished, TokenEvent
from ftkit.modeling.thought_stream import SplitText, ThoughtSplitter
from ftkit.modeling.tool_calls import RequiredToolCallParser, ToolCallParser

__all__ = ["Choice", "Delta"]


@dataclass(frozen=True, slots=True)
class Delta:
    """The new part of an answer.

    Attributes:
        text: new text.
        thought: new text of what the model thinks before it answers.
        logprobs: log-probabilities of the new tokens, in OpenAI's format.
        calls: new parts of tool calls, in the form of OpenAI's streams.
    """

    text: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    thought: str = ""


class Choice:
    """One answer to a request.

    Args:
        index: index of the choice.
        decode_token: returns the text of a token id, and its bytes if they are known.
        logprobs: whether to collect log-probabilities.
        reader: parser of tool calls; None if the request has no tools.
        thoughts: separates the thought from the answer; None if the answer cannot have one.
        named: whether the request names the function to call, so that the call is no choice of the model.
        keep: whether to keep the answer's log-probabilities; a stream sends them at once.
    """

    def __init__(
        self,
        index: int,
        decode_token: Callable[[int], tuple[str, bytes | None]],
        *,
        logprobs: bool,
        reader: ToolCallParser | None,
        thoughts: ThoughtSplitter | None = None,
        named: bool = False,
        keep: bool = True,
    ) -> None:
        self.index, self._keep = index, keep
        self._named = named
        self._decode_token, self._logprobs, self._reader = decode_token, logprobs, reader
        self._thoughts = thoughts
        self.text = self.thought = ""
        self.logprobs: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.finish_reason: str | None = None
        self.tokens = self.thought_tokens = self.cached = 0

    @property
    def finds_calls(self) -> bool:
        """Whether the answer may call tools, which are looked for at its end."""
        return self._reader is not None

    def add(self, event: TokenEvent | Finished) -> Delta:
        """Add an event of the engine.

        Args:
            event: a token, or the end of the answer.

        Returns:
            What is new with it.
        """
        if isinstance(event, TokenEvent):
            logprobs = [self._logprob(event)] if self._logprobs and not event.is_stop else []
            ids = () if event.is_stop else (event.token_id,)
            split = SplitText(answer=event.text) if self._thoughts is None else self._thoughts.push(event.text)
            self.thought_tokens += self._thoughts is not None and self._thoughts.inside
            text = split.answer if self._reader is None else self._reader.push(split.answer, ids)
            new = Delta(text, logprobs, self._pieces([]), split.thought)
        else:
            split = SplitText() if self._thoughts is None else self._thoughts.end()
            text = split.answer if self._reader is None else self._reader.push(split.answer)
            rest, calls = ("", []) if self._reader is None else self._reader.end()
            new = Delta(text + rest, [], self._pieces(calls), split.thought)
            self.calls = calls
            self.finish_reason = "tool_calls" if calls and not self._ends_otherwise(event) else event.finish_reason
            self.tokens, self.cached = event.output_tokens, event.cached_tokens
        self.text += new.text
        self.thought += new.thought
        if self._keep:
            self.logprobs += new.logprobs
        return new

    def _ends_otherwise(self, event: Finished) -> bool:
        """Whether the end of the calls has another reason: the limit of tokens, or the request named the function."""
        required = isinstance(self._reader, RequiredToolCallParser)
        return self._named or (required and event.finish_reason == "length")

    def _pieces(self, finished: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is new of the calls; other parsers than that of required calls find them at the end only."""
        if isinstance(self._reader, RequiredToolCallParser):
            return self._reader.pieces()
        return [{"index": number, **call} for number, call in enumerate(finished)]

    def _logprob(self, event: TokenEvent) -> dict[str, Any]:
        top = [self._token(other, logprob) for other, logprob in event.top_logprobs]
        return {**self._token(event.token_id, event.logprob), "top_logprobs": top}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text, raw = self._decode_token(token)
        return {"token": text, "logprob": max(logprob, -9999.0), "bytes": None if raw is None else list(raw)}
