"""Templates of graders: ``{{item.answer}}``, ``{{ sample.output_tools[0].function.name }}``.

A variable is a namespace followed by keys and indices, as OpenAI defines it
(https://platform.openai.com/docs/guides/graders#templating).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.errors import ConfigError, OutputError
from ftkit.graders.grade import GradingError, Sample
from ftkit.schema.json_values import to_json

__all__ = ["Path", "Template", "json_text"]

_MAX_SOURCE = 256_000
"""Longest template, in characters."""
_MAX_TEXT = 16 * 2**20
"""Longest text that a template may become, in characters: a variable may stand in it many times."""
_STEP = re.compile(r"""\.(?P<name>[^.\[\]\s{}"']+)|\[(?P<index>\d+)\]|\[(?P<quote>["'])(?P<key>.+?)(?P=quote)\]""")
_SAMPLE = ("output_text", "output_json", "output_tools", "choices")


@dataclass(frozen=True, slots=True)
class Path:
    """A variable: ``namespace.key[index]``."""

    text: str
    namespace: str
    steps: tuple[str | int, ...]

    @staticmethod
    @functools.lru_cache(maxsize=512)
    def of(text: str) -> Path:
        """Parse a variable, or return it from a cache.

        Args:
            text: the text between the braces.

        Returns:
            The parsed path.

        Raises:
            ConfigError: the text is not a path, or its namespace does not exist.
        """
        written = text.strip()
        shown = f'"{{{{{text if len(text) <= 80 else text[:80] + "…"}}}}}"'
        namespace = re.split(r"[.\[]", written, maxsplit=1)[0]
        if namespace not in ("item", "sample"):
            raise ConfigError(f'{shown}: a variable begins with "item." (the row) or "sample." (the answer)')
        steps: list[str | int] = []
        at = len(namespace)
        while at < len(written):
            step = _STEP.match(written, at)
            if step is None:
                raise ConfigError(
                    f'{shown} is not a path at "{written[at : at + 80]}"; write {{{{item.key}}}} or {{{{item.a[0]}}}}'
                )
            steps.append(int(step["index"]) if step["index"] is not None else step["name"] or step["key"])
            at = step.end()
        if not steps:
            raise ConfigError(f"{shown} names nothing in {namespace}; write {{{{{namespace}.key}}}}")
        if namespace == "sample" and steps[0] not in _SAMPLE:
            raise ConfigError(f"{shown}: an answer has {', '.join(_SAMPLE)}")
        return Path(written, namespace, tuple(steps))

    def value(self, item: Mapping[str, Any], sample: Sample, answer: Mapping[str, Any] | None = None) -> Any:
        """Look up the value.

        Args:
            item: the row's columns.
            sample: the answer.
            answer: ``sample.namespace()``, where the caller has it.

        Returns:
            The value at the path.

        Raises:
            GradingError: there is no value (``invalid_variable_error``), or the answer is not JSON
                (``sample_parse_error``).
        """
        value: Any = item
        if self.namespace == "sample":
            value = sample.namespace() if answer is None else answer
        for depth, step in enumerate(self.steps):
            if isinstance(value, Mapping) and isinstance(step, str) and step in value:
                value = value[step]
            elif isinstance(value, Sequence) and not isinstance(value, str) and _index(step, value) is not None:
                value = value[_index(step, value) or 0]
            else:
                raise GradingError("invalid_variable_error", self._absent(depth, value))
            unread = self.namespace == "sample" and depth == 0 and step == "output_json" and value is None
            if unread and sample.text.strip() != "null":
                raise GradingError("sample_parse_error", f"{self.text}: the answer is not JSON")
        return value

    def _absent(self, depth: int, value: Any) -> str:
        before = ".".join([self.namespace, *map(str, self.steps[:depth])])
        if isinstance(value, Mapping):
            there = f"its keys are {', '.join(map(str, value)) or 'none'}"
        elif isinstance(value, list | tuple):
            there = f"it is a list of {len(value)}"
        else:
            there = "it is null" if value is None else f"it is a {type(value).__name__}"
        return f'{self.text}: {before} has no "{self.steps[depth]}": {there}'


class Template:
    """A text with variables.

    Args:
        source: the text.

    Raises:
        ConfigError: a variable is not a path.
    """

    def __init__(self, source: str) -> None:
        self._parts = [*_split(source)]
        self.paths = tuple(part for part in self._parts if isinstance(part, Path))

    @staticmethod
    @functools.lru_cache(maxsize=64)
    def of(source: str) -> Template:
        """Parse a template, or return it from a cache.

        Args:
            source: the text.

        Returns:
            The parsed template.
        """
        return Template(source)

    @property
    def columns(self) -> frozenset[str]:
        """The columns of a row that the template reads."""
        return frozenset(str(path.steps[0]) for path in self.paths if path.namespace == "item")

    def render(self, item: Mapping[str, Any], sample: Sample) -> str:
        """Fill in the variables: strings as they are, other values as JSON.

        Args:
            item: the row's columns.
            sample: the answer.

        Returns:
            The text.

        Raises:
            GradingError: a variable has no value, see :meth:`Path.value`.
        """
        answer = sample.namespace() if any(path.namespace == "sample" for path in self.paths) else {}
        values = {path: json_text(path.value(item, sample, answer)) for path in dict.fromkeys(self.paths)}
        length = sum(len(part if isinstance(part, str) else values[part]) for part in self._parts)
        if length > _MAX_TEXT:
            detail = f"the template becomes {length:,} characters with its variables; the limit is {_MAX_TEXT:,}"
            raise GradingError("invalid_variable_error", detail)
        return "".join(part if isinstance(part, str) else values[part] for part in self._parts)


def _split(source: str) -> Iterator[str | Path]:
    """Yield the texts and variables of a template, in time proportional to its length."""
    if len(source) > _MAX_SOURCE:
        raise ConfigError(f"the template has {len(source):,} characters; the limit is {_MAX_SOURCE:,}")
    at = 0
    while (start := source.find("{{", at)) >= 0 and (end := source.find("}}", start + 2)) >= 0:
        yield source[at:start]
        yield Path.of(source[start + 2 : end])
        at = end + 2
    yield source[at:]


def json_text(value: Any) -> str:
    """Convert a value to text: strings as they are, other values as JSON.

    Args:
        value: the value.

    Returns:
        The text.

    Raises:
        GradingError: the value cannot be written as JSON.
    """
    if isinstance(value, str):
        return value
    try:
        found = to_json(value)
    except OutputError as error:
        raise GradingError("invalid_variable_error", error.message) from None
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _index(step: str | int, value: Sequence[Any]) -> int | None:
    if isinstance(step, str):
        if not step.isdecimal():
            return None
        step = int(step)
    return step if step < len(value) else None
