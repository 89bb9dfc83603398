"""One question to a loaded model and what comes back of it, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ftkit.inference.constrained import Grammar
from ftkit.inference.continuous_batching import Continuation, Token
from ftkit.inference.detokenizer import Transcript
from ftkit.inference.sampling import Draw
from ftkit.modeling.tokenized_example import Ints

__all__ = ["Answering", "End", "Event", "Failed", "Piece", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked.

    Attributes:
        prompt: token ids.
        max_tokens: the longest answer.
        draw: how tokens are chosen.
        stops: strings that end the answer and are no part of it.
        grammar: what holds the answer to a schema.
        likeliest: alternatives to be told of each token.
    """

    prompt: Ints
    max_tokens: int
    draw: Draw
    stops: tuple[str, ...] = ()
    grammar: Grammar | None = None
    likeliest: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of the answer, and the text that is certain with it: perhaps none, perhaps that of earlier tokens too.

    ``token`` is ``None`` for the end of turn.
    """

    text: str
    token: Token | None


@dataclass(frozen=True, slots=True)
class End:
    """The answer is whole.

    Attributes:
        finish_reason: whether the model ended its turn (or came to a stop string), or the token limit did.
        tokens: tokens of the answer, the end of turn included.
        cached: leading tokens of the prompt that had been computed before.
    """

    finish_reason: Literal["stop", "length"]
    tokens: int
    cached: int


@dataclass(frozen=True, slots=True)
class Failed:
    """There will be no answer."""

    error: Exception


Event = Piece | End | Failed


class Answering:
    """One answer on its way. ``tell`` is called with each event by the thread that owns the model.

    Attributes:
        cancelled: nobody waits for it any more.
        over: its last event was told.

    Args:
        question: what is asked.
        decode: from token ids to text.
        ends: token ids that end a turn.
        adapter: name of the adapter that answers.
        tell: takes the events, the last of them :class:`End` or :class:`Failed`.
    """

    def __init__(
        self,
        question: Question,
        decode: Callable[[Sequence[int]], str],
        ends: frozenset[int],
        adapter: str | None,
        tell: Callable[[Event], None],
    ) -> None:
        self._question, self._ends, self._tell = question, ends, tell
        self._transcript = Transcript(decode, question.stops)
        self.cancelled = self.over = False
        self.continuation = Continuation(
            question.prompt,
            question.draw,
            self._take,
            adapter=adapter,
            held=None if question.grammar is None else question.grammar.start(),
            likeliest=question.likeliest,
        )

    def fail(self, error: Exception) -> None:
        """Tell that there will be no answer."""
        if not self.cancelled:
            self._tell(Failed(error))

    def _take(self, token: Token) -> bool:
        if self.cancelled:
            return False
        count = len(self.continuation.ids)
        ended = token.id in self._ends
        text = self._transcript.push(token.id)
        stopped = ended or self._transcript.stopped
        if not stopped and count < self._question.max_tokens:
            self._tell(Piece(text, token))
            return True
        # The token that completes a stop string belongs to no text; the end of turn has none.
        self._tell(Piece(text + self._transcript.end(), None if stopped else token))
        self.over = True
        self._tell(End("stop" if stopped else "length", count, self.continuation.cached))
        return False
