"""The longest answer that a task can need: what ``max_output_tokens="auto"`` stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ftkit.backends.answer import Request
from ftkit.results.answer import DEFAULT_OUTPUT_TOKENS, Sampling
from ftkit.schema import ChoiceOutput, JsonOutput, Output

__all__ = ["automatic_limit", "has_bound", "limited_sampling", "longest_json", "with_automatic_limit"]

_ROOM = 16
"""Tokens beside the answer: the end of the turn, a blank or a line before it."""
_AT_LEAST = {"choice": 32, "json": 64, "text": 128}
_EXACT_BYTES = 496
"""Length up to which each byte counts as a token. Longer answers count half: no text of that length has so many."""
_DEEPEST = 12
_NUMBER_BYTES = 24


def with_automatic_limit(
    sampling: Sampling, output: Output | None, targets: Iterable[str] = (), *, thought_tokens: int | None
) -> tuple[Sampling, str]:
    """Put a number in place of ``max_output_tokens="auto"``.

    Args:
        sampling: how answers are sampled.
        output: the output of the task.
        targets: the answers that are known to be right.
        thought_tokens: tokens that the model may need for a thought before its answer; None if that is not known.

    Returns:
        The options with a number, and where it comes from; an empty text if the number was written.
    """
    if "max_output_tokens" in sampling.model_fields_set and sampling.max_output_tokens != "auto":
        return sampling, ""
    tokens, source = automatic_limit(output, targets)
    if tokens >= DEFAULT_OUTPUT_TOKENS or thought_tokens == 0:
        pass
    elif thought_tokens is None:
        tokens, source = DEFAULT_OUTPUT_TOKENS, f"{DEFAULT_OUTPUT_TOKENS}, because the model may reason first"
    else:
        tokens, source = tokens + thought_tokens, f"{source}, and {thought_tokens} tokens for a thought"
    return sampling.with_output_tokens(tokens), source


def automatic_limit(output: Output | None, targets: Iterable[str] = ()) -> tuple[int, str]:
    """Compute how many tokens an answer can need.

    No tokenizer of bytes makes more tokens than a text has bytes, so the bytes of the longest answer are enough for it,
    and several times what most answers take.

    Args:
        output: the output of the task.
        targets: the answers that are known to be right.

    Returns:
        The number of tokens, and where it comes from. 512 if nothing bounds the answer.
    """
    seen = max((len(target.encode()) for target in targets), default=None)
    bound = _bound(output)
    if bound is not None and (seen is None or isinstance(output, ChoiceOutput) or bound < seen * 3 // 2):
        longest, source = bound, "choice" if isinstance(output, ChoiceOutput) else "answer of the schema"
    elif seen is not None:  # answers that are right in part may be longer than every target
        longest, source = seen * 3 // 2, "target and half as much"
    else:
        return DEFAULT_OUTPUT_TOKENS, f"{DEFAULT_OUTPUT_TOKENS}, because nothing bounds the answer"
    kind = "text" if output is None else output.kind
    tokens = longest + _ROOM if longest <= _EXACT_BYTES else max(DEFAULT_OUTPUT_TOKENS, longest // 2 + _ROOM)
    return max(tokens, _AT_LEAST.get(kind, _AT_LEAST["text"])), f"the longest {source} has {longest:,} bytes"


def limited_sampling(
    sampling: Sampling, output: Output, requests: Sequence[Request], thought_tokens: Callable[[], int | None]
) -> Sampling:
    """Put a number in place of ``max_output_tokens="auto"`` where the task itself bounds the answers.

    Args:
        sampling: how answers are sampled.
        output: the output of the task.
        requests: what is asked.
        thought_tokens: says how many tokens the model may need for a thought; called only if it matters.

    Returns:
        The options; unchanged if a number was written, nothing bounds the answers, tools may be called, or a request
        has an output of its own.
    """
    if sampling.max_output_tokens != "auto" or not has_bound(output):
        return sampling
    if any(request.tools or request.output not in (None, output) for request in requests):
        return sampling  # a call may be longer than an answer
    return with_automatic_limit(sampling, output, thought_tokens=thought_tokens())[0]


def has_bound(output: Output | None) -> bool:
    """Say whether the output itself bounds the length of an answer.

    Args:
        output: the output of a task.

    Returns:
        Whether it does: a choice, or a schema whose every part has an end.
    """
    return _bound(output) is not None


def _bound(output: Output | None) -> int | None:
    if isinstance(output, ChoiceOutput):
        return max(len(choice.encode()) for choice in output.choices)
    if isinstance(output, JsonOutput):
        found = longest_json(output.closed_schema)
        return None if found is None or found > _EXACT_BYTES else found
    return None


def longest_json(schema: Any, definitions: Mapping[str, Any] | None = None, depth: int = 0) -> int | None:
    """Compute the bytes of the longest JSON text that a schema allows.

    Args:
        schema: the schema.
        definitions: definitions that it refers to; its own by default.
        depth: how deep it lies in another one.

    Returns:
        The number of bytes, with a blank after each comma and colon; None if the schema has no bound, or none that is
        easy to see.
    """
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix("#/$defs/")
        return longest_json(definitions.get(name), definitions, depth + 1) if name in definitions else None
    if "const" in schema:
        return _bytes(schema["const"])
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return max(_bytes(value) for value in schema["enum"])
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            return _largest(longest_json(part, definitions, depth + 1) for part in schema[keyword])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _largest(longest_json({**schema, "type": one}, definitions, depth + 1) for one in kind)
    if kind in ("boolean", "null"):
        return len("false")
    if kind in ("integer", "number"):
        return _NUMBER_BYTES
    if kind == "string":
        longest = schema.get("maxLength")
        return 4 * longest + 2 if isinstance(longest, int) else None  # four bytes are the longest character
    if kind == "array":
        count, item = schema.get("maxItems"), longest_json(schema.get("items"), definitions, depth + 1)
        return None if not isinstance(count, int) or item is None else 2 + count * (item + 2)
    if kind == "object" and schema.get("additionalProperties") is False:
        properties = schema.get("properties", {})
        parts = [longest_json(part, definitions, depth + 1) for part in properties.values()]
        if any(part is None for part in parts):
            return None
        return 2 + sum(_bytes(name) + 4 + (part or 0) for name, part in zip(properties, parts, strict=True))
    return None


def _largest(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if any(size is None for size in known) else max(size or 0 for size in known)


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
