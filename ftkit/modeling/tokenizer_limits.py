"""Limits of what a tokenizer does to a text, checked before it reads the first one.

A tokenizer.json is a program, too: it replaces texts by longer ones, repeats them, and searches them with regular
expressions by an engine that goes back. Nothing can interrupt it, because it is no Python.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from typing import Any

from ftkit.errors import ModelError
from ftkit.modeling.pattern_form import form_problem, literal_characters

__all__ = ["check_tokenizer"]

_MAX_GROWTH = 256
"""How many characters, or copies, may be made of one. Unicode's own normalisation makes up to 18."""
_MAX_STEPS = 256
_MAX_ADDED = 100_000
"""Added tokens. A model of speech has one for each of its 30,000 sounds."""
_MAX_WORD = 10_000
"""Characters of a word that WordPiece searches for pieces, in time that grows with their square. 100 is usual."""
_MAX_PATTERN = 20_000
_PROBES = ((60, 0.02), (240, 0.05), (2_000, 0.25))
"""Characters of a text, and the seconds of processor time that a search in it may take. Those of known models take
less than a thousandth; what grows with the third power of the length fails at the second probe."""
_MAX_TRIES = 3
_COMPONENTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")


def check_tokenizer(tokenizer: Any, what: str) -> None:
    """Refuse a tokenizer that makes far more of a text than it is, or takes far too long for it.

    Args:
        tokenizer: a transformers tokenizer. One that is written in Python has no such parts.
        what: the beginning of the message of an error.

    Raises:
        ModelError: names the part of the tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return
    added = len(backend.get_added_tokens_decoder())
    if added > _MAX_ADDED:
        raise ModelError(
            f"{what} has {added:,} added tokens, for all of which texts are searched; more than {_MAX_ADDED:,}"
        )
    longest = getattr(backend.model, "max_input_chars_per_word", None)
    if isinstance(longest, int) and longest > _MAX_WORD:
        raise ModelError(f"{what}: max_input_chars_per_word is {longest:,}, more than {_MAX_WORD:,}")
    for name in _COMPONENTS:
        part = getattr(backend, name)
        if part is None:
            continue
        steps = _steps(part)
        if len(steps) > _MAX_STEPS:
            raise ModelError(f"{what}: its {name} has {len(steps):,} steps, more than {_MAX_STEPS}")
        growth = 1.0
        for step in steps:
            pattern = step.get("pattern")
            if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
                _check_pattern(pattern["Regex"], f"{what}: its {name}")
            growth *= _growth(step)
        if growth > _MAX_GROWTH:
            raise ModelError(f"{what}: its {name} makes a text more than {_MAX_GROWTH} times as long")


def _steps(component: Any) -> list[dict[str, Any]]:
    """The steps of a component; a sequence consists of others."""
    try:
        pending = [json.loads(component.__getstate__())]
    except Exception:  # one that is written in Python cannot be serialised
        return []
    steps = []
    while pending:
        part = pending.pop()
        steps.append(part)
        for name in ("normalizers", "pretokenizers", "processors", "decoders"):
            pending += [one for one in part.get(name) or () if isinstance(one, dict)]
    return steps


def _growth(step: dict[str, Any]) -> float:
    """How many times as long a step makes a text of many characters, or the text of a token."""
    if step.get("type") == "Replace":
        pattern = step.get("pattern") or {}
        replaced = len(pattern["String"]) if isinstance(pattern.get("String"), str) else 1
        return max(1.0, len(str(step.get("content", ""))) / max(1, replaced))
    if step.get("type") == "TemplateProcessing":
        single = step.get("single") or ()
        special = sum(len(token.get("ids") or ()) for token in (step.get("special_tokens") or {}).values())
        return float(max(1, sum("Sequence" in piece for piece in single), len(single) * special / 64))
    return 1.0


@functools.lru_cache(maxsize=256)
def _check_pattern(pattern: str, what: str) -> None:
    """Refuse a pattern that takes time without bounds.

    The form is checked first: repetitions inside of repetitions take exponential time, which nobody can wait for even
    once. A trial then finds those whose time grows with a high power of the length.

    Raises:
        ModelError: it does.
    """
    if len(pattern) > _MAX_PATTERN:
        raise ModelError(f"{what} has a pattern of {len(pattern):,} characters, more than {_MAX_PATTERN:,}")
    problem = form_problem(pattern) or _trial_problem(pattern)
    if problem is not None:
        raise ModelError(f"{what} has a pattern that {problem}: {pattern[:120]!r}")


def _trial_problem(pattern: str) -> str | None:
    """Search texts of growing length; say that it takes too long."""
    from tokenizers import Regex, pre_tokenizers

    try:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
    except Exception as error:  # the library raises bare ones
        return f"cannot be read ({str(error)[:100]})"
    for length, seconds in _PROBES:
        for text in _probes(length, pattern):
            if _seconds(split, text, seconds) > seconds:
                return f"takes more than {seconds:g} s for {length:,} characters"
    return None


def _probes(length: int, pattern: str) -> Iterator[str]:
    """Texts that go on and on, and such that end with what the pattern itself names."""
    words = "The patient of 1947 takes 2.5 mg twice, doesn't she? \n"
    named = literal_characters(pattern)
    for text in ("a", "A", "1", " ", "\n", "!", "é", "漢", "aB", "a ", "1,", words):
        long = (text * length)[:length]
        yield long
        yield f"{long}{named}"


def _seconds(split: Any, text: str, limit: float) -> float:
    """Processor time of a search; of the fastest of some, because a busy machine slows single ones."""
    fastest = float("inf")
    for _ in range(_MAX_TRIES):
        begin = time.thread_time()
        try:
            split.pre_tokenize_str(text)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of the library in Rust, whose engine gives up
                raise
            return float("inf")
        fastest = min(fastest, time.thread_time() - begin)
        if fastest <= limit:
            break
    return fastest
