"""Limits of the patterns in an adapter's settings, by which PEFT chooses layers with Python's ``re``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import regex

from ftkit.errors import ModelError
from ftkit.modeling.pattern_form import form_problem, literal_characters

__all__ = ["check_patterns"]

_MAX_PATTERNS = 5_000
"""PEFT tries each of them for every layer."""
_MAX_LENGTH = 10_000
_SECONDS = 0.02
"""Processor time for one name. Known patterns take a thousandth of it."""
_PATIENCE = 20
_NAMES = ("base_model.model.model.layers.31.self_attn.q_proj", "model.language_model.layers.0.mlp.experts.down_proj")
_REPEATED = 100
_WHOLE = ("target_modules", "exclude_modules", "feedforward_modules")
"""A text is a pattern, a list has names."""
_PARTS = ("modules_to_save", "layers_pattern")


def check_patterns(settings: Mapping[str, Any], place: str) -> None:
    """Refuse an adapter with patterns that take time without bounds.

    Args:
        settings: the parsed ``adapter_config.json``.
        place: its file, for the message.

    Raises:
        ModelError: names the field.
    """
    found = list(_patterns(settings))
    if len(found) > _MAX_PATTERNS:
        raise ModelError(f"{place}: its fields have {len(found):,} patterns of layers, more than {_MAX_PATTERNS:,}")
    known: set[str] = set()
    for name, pattern in found:
        problem = None if pattern in known else _problem(pattern)
        known.add(pattern)
        if problem is not None:
            raise ModelError(f"{place}: {name} has a pattern that {problem}: {pattern[:120]!r}")


def _patterns(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each pattern with the name of its field."""
    for name, value in settings.items():
        if isinstance(value, str) and name in (*_WHOLE, *_PARTS):
            yield name, value
        elif isinstance(value, list) and name in _PARTS:
            yield from ((name, one) for one in value if isinstance(one, str))
        elif isinstance(value, Mapping) and name.endswith("_pattern"):
            yield from ((name, str(one)) for one in value)


def _problem(pattern: str) -> str | None:
    if len(pattern) > _MAX_LENGTH:
        return f"has {len(pattern):,} characters, more than {_MAX_LENGTH:,}"
    if pattern.replace("_", "").replace(".", "").isalnum():  # a plain name
        return None
    problem = form_problem(pattern)
    if problem is not None:
        return problem
    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError) as error:
        return f"is no regular expression ({error})"
    hard = (f"{sign * _REPEATED}!" for sign in literal_characters(pattern))
    for name in (*_NAMES, *hard):
        began = time.thread_time()
        try:
            compiled.search(name, timeout=_SECONDS * _PATIENCE)
            compiled.fullmatch(name, timeout=_SECONDS * _PATIENCE)
        except TimeoutError:
            pass
        if time.thread_time() - began > _SECONDS:
            return f"takes more than {_SECONDS:g} s for the name of a layer"
    return None
