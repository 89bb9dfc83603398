"""Parse an answer with the ``response_template`` of its tokenizer, within limits of time and size.

A response template is a program that a model's folder brings: regular expressions, which may take longer than the age
of the universe on forty letters, and a form that is made anew for every call. transformers runs it without limits.
"""

from __future__ import annotations

import json
import logging
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import regex
from transformers.utils.chat_parsing import content_parsers
from transformers.utils.chat_parsing.response_templates import ResponseTemplate, load_response_template

from ftkit.errors import ModelError
from ftkit.modeling.tokenized_example import Ints

__all__ = ["ResponseReader", "response_reader"]

T = TypeVar("T")

_LOG = logging.getLogger("ftkit.models")
_MAX_SECONDS = 1.0
"""Processor time for one answer. Those of known models take milliseconds."""
_MAX_BYTES = 64 * 1024
"""Largest template as JSON. Those of known models have one or two thousand bytes."""
_MAX_MATCHES = 4_096
"""Most matches that are replaced in one text, because each goes through all of it again."""
_MAX_TIMEOUTS = 3
"""Answers over the limit, after which a template is no longer tried."""

_END: ContextVar[float | None] = ContextVar("ftkit_response_end", default=None)
"""Processor time of this thread at which the reading of an answer ends."""


class ResponseReader:
    """Reads answers with one tokenizer's template.

    Args:
        template: the template, whose patterns are bounded.
        name: how the tokenizer calls itself, for messages.
    """

    def __init__(self, template: ResponseTemplate, name: str) -> None:
        self._template, self._name = template, name
        self._timeouts = 0

    def read(self, tokenizer: Any, prompt: Ints, ids: Sequence[int], tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Read a complete answer.

        Args:
            tokenizer: the transformers tokenizer.
            prompt: token ids of the prompt, ``[tokens]``.
            ids: token ids of the answer, special tokens included.
            tools: the tools offered, as JSON schemas.

        Returns:
            The message that the template makes of it; empty if it makes none, or takes too long.
        """
        if self._timeouts >= _MAX_TIMEOUTS:
            return {}
        token = _END.set(time.thread_time() + _MAX_SECONDS)
        try:
            message = tokenizer.parse_response(
                list(ids), schema=self._template, prefix=prompt.tolist(), tools=list(tools)
            )
        except TimeoutError:
            self._timeouts += 1
            _LOG.warning(
                "the response_template of %s takes more than %g s for an answer, so the answer stays as it is and its "
                "tool calls are not found%s",
                self._name,
                _MAX_SECONDS,
                ". The template is not tried again" if self._timeouts == _MAX_TIMEOUTS else "",
            )
            return {}
        except Exception:  # a template is a program, and a broken call may raise anything
            return {}
        finally:
            _END.reset(token)
        return message if isinstance(message, dict) else {}


_readers: weakref.WeakKeyDictionary[Any, tuple[Any, ResponseReader]] = weakref.WeakKeyDictionary()
"""By tokenizer: the template that the reader was made of, and the reader."""


def response_reader(tokenizer: Any) -> ResponseReader | None:
    """Return the reader of a tokenizer's answers.

    Args:
        tokenizer: a transformers tokenizer.

    Returns:
        The reader; None if the tokenizer has no ``response_template``.

    Raises:
        ModelError: the template is none that transformers takes, or is too large.
    """
    written = getattr(tokenizer, "response_template", None)
    if written is None:
        return None
    known = _readers.get(tokenizer)
    if known is not None and known[0] is written:
        return known[1]
    name = str(getattr(tokenizer, "name_or_path", "") or "the model")
    reader = ResponseReader(_load(written, name), name)
    _readers[tokenizer] = (written, reader)
    return reader


def _load(written: Any, name: str) -> ResponseTemplate:
    what = f"the response_template in the tokenizer_config.json of {name}"
    try:
        size = len(json.dumps(written))
        if size > _MAX_BYTES:
            raise ModelError(f"{what} has {size:,} bytes, more than {_MAX_BYTES:,}")
        template = load_response_template(written)
    except (LookupError, TypeError, ValueError, RecursionError, regex.error) as error:
        raise ModelError(f"{what} cannot be used: {str(error)[:300]}; mend it there, or take it out") from None
    template.start_anchor_re = _Pattern(template.start_anchor_re)
    for field in template.fields.values():
        field.open_re = None if field.open_re is None else _Pattern(field.open_re)
        field.close_re = None if field.close_re is None else _Pattern(field.close_re)
    return template


class _Pattern:
    """A compiled pattern of the package ``regex``, in what of it transformers uses."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self.groupindex = compiled.groupindex

    def search(self, text: str, position: int = 0, *, partial: bool = False) -> Any:
        return _within_time(lambda limit: self._compiled.search(text, position, partial=partial, **limit))

    def finditer(self, text: str) -> Iterator[Any]:
        return iter(_within_time(lambda limit: list(self._compiled.finditer(text, **limit))))


def _within_time(search: Callable[[dict[str, Any]], T]) -> T:
    """Search within what is left of the time; other threads run meanwhile."""
    end = _END.get()
    if end is None:
        return search({})
    left = seconds = end - time.thread_time()
    while left > 0:
        try:
            return search({"timeout": seconds, "concurrent": True})
        except TimeoutError:  # `regex` counts the processor time of all threads
            seconds *= 2
            left = end - time.thread_time()
    raise TimeoutError


class _BoundedRegex:
    """The package ``regex`` for transformers' parsers of contents, which search with patterns of the template."""

    def __getattr__(self, name: str) -> Any:
        return getattr(regex, name)

    def finditer(self, pattern: Any, text: str, flags: int = 0) -> Iterator[Any]:
        return iter(_within_time(lambda limit: list(regex.finditer(pattern, text, flags, **limit))))

    def sub(self, pattern: Any, replacement: Any, text: str, flags: int = 0) -> str:
        if _END.get() is None:
            return str(regex.sub(pattern, replacement, text, flags=flags))
        matches = list(self.finditer(pattern, text, flags))
        if len(matches) > _MAX_MATCHES:
            raise ValueError(f"more than {_MAX_MATCHES:,} matches")
        pieces, place = [], 0
        for match in matches:
            new = replacement(match) if callable(replacement) else match.expand(replacement)
            pieces += [text[place : match.start()], new]
            place = match.end()
        return "".join([*pieces, text[place:]])


# transformers has no place to put a limit in. Callers other than ftkit get what they got.
content_parsers.re = _BoundedRegex()
