"""Read the tokens of one answer from the events of a vLLM server, which may send anything."""

from __future__ import annotations

import math
from typing import Any, Literal

from ftkit.errors import ModelError
from ftkit.inference.detokenizer import IncrementalDetokenizer
from ftkit.inference.protocol import GenerationRequest, TokenEvent

__all__ = ["Answer", "cached_tokens", "choices"]

_ABOVE_ZERO = 1e-3
"""By how many nats a log-probability may be above 0: rounding."""


class Answer:
    """The tokens of an answer, as they come.

    Args:
        request: what was asked.
        vocabulary: number of the model's token ids; None if it is not known.
        processed: whether log-probabilities are those at the temperature of the request.

    Attributes:
        ids: the tokens so far.
        stopped_by_text: whether a stop string has ended it.
    """

    def __init__(self, request: GenerationRequest, vocabulary: int | None = None, *, processed: bool = False) -> None:
        self._request, self._vocabulary = request, vocabulary
        self._at_1 = not processed or request.sampling.temperature in (0.0, 1.0)
        self.ids: list[int] = []
        self.stopped_by_text = False
        self._stopped = False
        self._detokenizer = None if request.decode is None else IncrementalDetokenizer(request.decode, request.stop)

    @property
    def complete(self) -> bool:
        """Whether no more tokens belong to it."""
        return self._stopped or len(self.ids) >= self._request.max_tokens

    def read(self, choice: dict[str, Any]) -> list[TokenEvent]:
        """Read the tokens of an event.

        Args:
            choice: the choice in it.

        Returns:
            The events of the tokens.

        Raises:
            ModelError: it is not what vLLM returns, or its numbers are none.
        """
        echoed = choice.get("prompt_token_ids")
        if echoed is not None and echoed != self._request.prompt.tolist():
            raise ModelError("vLLM has answered another prompt than the one that it was asked")
        ids = choice.get("token_ids")
        if not isinstance(ids, list):
            raise ModelError("vLLM returned no token ids; ftkit needs vLLM 0.11 or later")
        if not ids:
            return []
        found = choice.get("logprobs")
        own, top = (_listed(found, name) for name in ("token_logprobs", "top_logprobs"))
        if len(own) != len(ids):
            raise ModelError("vLLM returned another number of log-probabilities than of tokens")
        events = []
        for at, token in enumerate(ids):
            if self.complete:
                break
            best = _top(top[at] if at < len(top) else None, self._request.top_logprobs)
            events.append(self._event(self._known(token), own[at], best))
        return events

    def _known(self, token: Any) -> int:
        """A token id, which the tokenizer will be asked for."""
        size = self._vocabulary
        if type(token) is not int or token < 0 or token >= (2**31 if size is None else size):
            has = "" if size is None else f"; the model has those from 0 to {size - 1:,}"
            raise ModelError(f"vLLM returned {token!r:.40} as a token id{has}")
        return token

    def _event(self, token: int, logprob: Any, top: tuple[tuple[int, float], ...]) -> TokenEvent:
        if type(logprob) not in (int, float) or not math.isfinite(logprob):
            raise ModelError(
                "vLLM computes no numbers (NaN or infinite): the model's weights are damaged, its training has "
                "diverged, or it overflows in this precision"
            )
        if logprob > _ABOVE_ZERO:
            raise ModelError(f"vLLM returned {logprob:g} as the log-probability of a token, which is at most 0")
        self.ids.append(token)
        text, stopped = "", token in self._request.stop_token_ids
        if self._detokenizer is not None:
            text = self._detokenizer.push(token)
            self.stopped_by_text = self._detokenizer.stopped
            stopped = stopped or self.stopped_by_text
        if self._detokenizer is not None and (stopped or len(self.ids) >= self._request.max_tokens):
            text += self._detokenizer.end()
        self._stopped = stopped
        return TokenEvent(token, logprob if self._at_1 else math.nan, logprob, top, text, stopped)

    def finish_reason(self, said: object) -> Literal["stop", "length"]:
        """Say why the answer ended.

        A stop token of vLLM's own, which ftkit does not know, would end answers that ftkit's own engine goes on with,
        and a limit of its own would cut them.

        Args:
            said: the reason that vLLM gives.

        Returns:
            ``"stop"`` or ``"length"``.

        Raises:
            ModelError: it has ended for another reason.
        """
        if self._stopped:
            return "stop"
        count, asked = len(self.ids), self._request.max_tokens
        if said == "length" and count >= asked:
            return "length"
        if said == "length":
            raise ModelError(
                f"vLLM has cut an answer after {count:,} of {asked:,} tokens: the server has a limit of its own. "
                "Start it with a larger --max-model-len, or ask for shorter answers"
            )
        if said == "stop":
            last = self.ids[-1] if self.ids else None
            raise ModelError(f"vLLM has ended an answer at the token {last}, which ends no turn of this model")
        raise ModelError(f"vLLM has not completed an answer; the reason that it gives is {said!r:.80}")


def choices(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the choices of an event.

    Args:
        event: the event.

    Returns:
        Each as an object.

    Raises:
        ModelError: they are none.
    """
    found = event.get("choices") or []
    if not isinstance(found, list) or not all(isinstance(choice, dict) for choice in found):
        raise ModelError("an event of /v1/completions has no list of choices, so this is no vLLM server")
    return found


def cached_tokens(event: dict[str, Any]) -> int:
    """Read how many tokens of the prompt were computed before.

    Args:
        event: an event.

    Returns:
        The number; 0 where the event does not say it.
    """
    found: Any = event
    for name in ("usage", "prompt_tokens_details", "cached_tokens"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if type(found) is int and found > 0 else 0


def _listed(found: Any, name: str) -> list[Any]:
    inner = found.get(name) if isinstance(found, dict) else None
    return inner if isinstance(inner, list) else []


def _top(found: Any, count: int) -> tuple[tuple[int, float], ...]:
    """The likeliest tokens; vLLM adds the chosen token where it is not among them."""
    if not found or not count:
        return ()
    try:
        pairs = [(int(token.removeprefix("token_id:")), float(value)) for token, value in found.items()]
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise ModelError("vLLM returned no likeliest tokens by their ids; ftkit needs vLLM 0.11 or later") from None
    return tuple(sorted(pairs, key=lambda one: -one[1])[:count])
