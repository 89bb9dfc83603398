"""What the rendering of one conversation may take: processor time, and text and containers that it builds.

A chat template is a program of a model's author. Jinja's sandbox keeps it from the machine, but not from looping for
ever or from building gigabytes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from jinja2.runtime import Undefined
from jinja2.utils import Namespace

__all__ = ["GROWING", "RenderBudget", "TemplateLimitError"]

_SECONDS = 3.0
_SECONDS_PER_CHARACTER = 1e-5
"""Beyond that, for conversations that are long themselves."""
_BUILT = 64_000_000
"""Characters and items that a rendering may build."""
_BUILT_PER_CHARACTER = 64
_STEPS_PER_LOOK = 64
"""Number of steps after which the elapsed time is checked again."""

_WIDTH = re.compile(r"\d{4,}|\*")
"""Widths in formats; a star takes one from the arguments."""


class TemplateLimitError(Exception):
    """The rendering takes more than a conversation may."""


class RenderBudget:
    """Counts what a rendering takes.

    Args:
        inputs: what the template renders.
    """

    def __init__(self, inputs: Any) -> None:
        self._inputs = inputs
        self._started = time.thread_time()
        self._seconds, self._most = _SECONDS, _BUILT
        self._steps = self._built = 0
        self._sizes: dict[int, tuple[Any, int]] = {}
        """Sizes of containers, with the containers, so that their ids stay theirs."""
        self._extended = False

    def step(self) -> None:
        """Count a step.

        Raises:
            TemplateLimitError: the time is used up.
        """
        self._steps += 1
        if self._steps % _STEPS_PER_LOOK == 0 and time.thread_time() - self._started > self._seconds:
            self._extend()
            if time.thread_time() - self._started > self._seconds:
                raise TemplateLimitError(f"it takes more than {self._seconds:.0f} s of processor time")

    def build(self, size: int) -> None:
        """Count what is about to be built, or has been.

        Args:
            size: characters, or items.

        Raises:
            TemplateLimitError: it is more than may be built in all.
        """
        self._built += size
        if self._built > self._most:
            self._extend()
            if self._built > self._most:
                raise TemplateLimitError(f"it builds more than {self._most:,} characters")

    def counted(self, values: Iterable[Any]) -> Iterator[Any]:
        """Count each value that is taken from an iterable.

        Args:
            values: the iterable.

        Yields:
            Its values.
        """
        for value in values:
            self.step()
            yield value

    def size(self, value: Any) -> int:
        """Return how much text a value would be, so that lists of lists of the same lists count as what they say.

        Args:
            value: any value of a template.

        Returns:
            Its length if it is a text; items and texts inside, each as often as it is there; 1 for anything else.
        """
        if isinstance(value, str | bytes):
            return len(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value.bit_length() // 3 + 1
        if not isinstance(value, list | tuple | dict | Namespace):
            return 1
        known = self._sizes.get(id(value))
        if known is not None:
            return known[1]
        self._sizes[id(value)] = (value, 1)  # in case that it contains itself
        self.step()
        parts = _attributes(value) if isinstance(value, Namespace) else value
        if isinstance(parts, Mapping):
            found = sum(self.size(key) + self.size(part) for key, part in parts.items())
        else:
            found = sum(map(self.size, parts))
        self._sizes[id(value)] = (value, found + len(parts) + 1)
        return found + len(parts) + 1

    def note(self, container: Any, size: int) -> None:
        """Note the size of a container whose parts were counted before.

        Args:
            container: the container.
            size: its size, see :meth:`size`.
        """
        self._sizes[id(container)] = (container, size)

    def make(self, value: Any) -> Any:
        """Count a container that a template has made.

        Args:
            value: the container, or any other value.

        Returns:
            The same.

        Raises:
            TemplateLimitError: it is larger than what may be built in all.
        """
        if isinstance(value, list | tuple | dict | Namespace):
            if self.size(value) > self._most:
                self._extend()
            if self.size(value) > self._most:
                raise TemplateLimitError(f"it builds more than {self._most:,} characters")
            self.build(len(value) if isinstance(value, Sized) else 1)
        elif isinstance(value, str):
            self.build(len(value))
        return value

    def refuse_growth(self, name: str, subject: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Refuse to call a filter or a method of texts whose result would be too large.

        Args:
            name: its name, of :data:`GROWING`.
            subject: what it is applied to.
            arguments: its arguments.
            options: its keyword arguments.

        Raises:
            TemplateLimitError: the result would be larger than may be built.
        """
        size = _GROWTH[name](self, subject, [*arguments, *options.values()])
        if self._built + size > self._most:
            self.build(size)

    def _extend(self) -> None:
        """Raise the limits for a long conversation."""
        if not self._extended:
            self._extended = True
            length = self.size(self._inputs)
            self._seconds += length * _SECONDS_PER_CHARACTER
            self._most += length * _BUILT_PER_CHARACTER


def _attributes(value: Namespace) -> dict[str, Any]:
    found = object.__getattribute__(value, "_Namespace__attrs")
    return found if isinstance(found, dict) else {}


def _largest(given: Iterable[Any]) -> int:
    return max((abs(value) for value in given if isinstance(value, int)), default=1)


def _longest(budget: RenderBudget, given: Iterable[Any]) -> int:
    return max((budget.size(value) for value in given if not isinstance(value, Undefined)), default=1)


def _padded(budget: RenderBudget, subject: Any, given: list[Any]) -> int:
    return budget.size(subject) + _largest(given)


def _indented(budget: RenderBudget, subject: Any, given: list[Any]) -> int:
    lines = subject.count("\n") + 1 if isinstance(subject, str) else budget.size(subject)
    return budget.size(subject) + lines * max(
        _largest(given), _longest(budget, [one for one in given if _is_text(one)])
    )


def _replaced(budget: RenderBudget, subject: Any, given: list[Any]) -> int:
    texts = [value for value in given if _is_text(value)]
    if len(texts) < 2 or not isinstance(subject, str):
        return budget.size(subject)
    return len(subject) + (subject.count(texts[0]) if texts[0] else len(subject) + 1) * len(texts[1])


def _joined(budget: RenderBudget, subject: Any, given: list[Any]) -> int:
    """Of ``join``, whose separator or items may be the subject."""
    values = [subject, *given]
    items = next((value for value in values if isinstance(value, Sized) and not isinstance(value, str)), ())
    separator = next((len(value) for value in values if isinstance(value, str)), 0)
    return budget.size(items) + separator * len(items)


def _formatted(budget: RenderBudget, subject: Any, given: list[Any]) -> int:
    text = str(subject) if isinstance(subject, str) else ""
    widths = [len(given) and _largest(given) if one == "*" else int(one[:18]) for one in _WIDTH.findall(text)]
    nested = _largest(given) if "{" in text.partition(":")[2] else 0
    fields = text.count("%") + text.count("{")
    return len(text) + sum(widths) + fields * (nested + _longest(budget, given))


def _times(budget: RenderBudget, subject: Any, given: list[Any]) -> int:
    return budget.size(subject) * max(_largest(given), _longest(budget, given))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_GROWTH: dict[str, Callable[[RenderBudget, Any, list[Any]], int]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill", "batch", "slice", "to_bytes", "round"), _padded),
    "generate_lorem_ipsum": _padded,  # Jinja's lipsum
    **dict.fromkeys(("indent", "expandtabs", "tojson", "wordwrap"), _indented),
    **dict.fromkeys(("format", "format_map"), _formatted),
    "replace": _replaced,
    "join": _joined,
    "translate": _times,
}
"""By name of a filter or method: the most that its result can be."""

GROWING = frozenset(_GROWTH)
"""Names of filters, methods and functions whose results may be much larger than what they are given."""
