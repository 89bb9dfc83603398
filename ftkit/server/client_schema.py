"""JSON Schemas that clients send: bounded in size, and checked in a worker process."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections import OrderedDict
from typing import Any, Literal

from ftkit.errors import ConfigError
from ftkit.extras import require
from ftkit.inference.answer_grammar import AnswerSpec, compile_grammar, hold_answer
from ftkit.schema.compiled_schema import check_schema, close_top
from ftkit.schema.dialects import to_draft_2020_12
from ftkit.schema.keywords import subschemas
from ftkit.schema.local_references import localize_references
from ftkit.schema.schema_check import check_is_schema
from ftkit.schema.strict_schema import check_strict
from ftkit.server.workers import WorkerPool

__all__ = ["ClientSchemas", "Strictness"]

Strictness = Literal["any", "strict", "strict_parameters"]
"""What is refused: nothing more than JSON Schema does, what OpenAI's strict mode refuses, or the same of a function's
parameters, which may be optional (see :func:`ftkit.schema.strict_schema.check_strict`)."""

_MAX_SCHEMAS = 5_000
"""Most schemas inside of one, counting every property. OpenAI's limit of properties (guide "Structured outputs")."""
_MAX_CHARACTERS = 512 * 1024
"""Longest schema, as JSON."""
_CACHED_CHARACTERS = 16 * 1024 * 1024
"""Size of all schemas that are kept, as JSON. Parsed they take several times as much."""
_TRIED = 4_096
"""Grammars that are remembered by their digest."""
_TRIAL_STACK_BYTES = 4 * 1024 * 1024
"""Stack of a trial. What fits into it fits into the threads of the server, which have twice as much."""


class ClientSchemas:
    """Checks schemas. The latest ones are kept, because clients send the same schema with every request.

    Args:
        workers: where they are checked.
    """

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers
        self._known: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self._characters = 0
        self._tried: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    async def check(self, schema: dict[str, Any], strictness: Strictness) -> dict[str, Any]:
        """Check a schema, and write it in the way that answers are held to.

        Args:
            schema: the schema.
            strictness: what of JSON Schema is refused.

        Returns:
            The schema in draft 2020-12, with references to paths only.

        Raises:
            ConfigError: it is not a valid schema, is larger than clients may send, or has what strict mode refuses.
        """
        text = json.dumps(schema)
        with self._lock:
            found = self._known.get((strictness, text))
        if found is None:
            if len(text) > _MAX_CHARACTERS:
                raise ConfigError(f"the schema has {len(text):,} characters, and the limit is {_MAX_CHARACTERS:,}")
            found = await self._workers.call(_check, text, strictness)
        with self._lock:
            if (strictness, text) not in self._known:
                self._known[strictness, text] = found
                self._characters += len(text)
            self._known.move_to_end((strictness, text))
            while self._characters > _CACHED_CHARACTERS:
                (_, oldest), _ = self._known.popitem(last=False)
                self._characters -= len(oldest)
        return found

    async def try_grammar(self, spec: AnswerSpec) -> None:
        """Compile the grammar of an answer in a worker, with a tokenizer of bytes, so that it may take its time there.

        Args:
            spec: what the answer may be.

        Raises:
            ConfigError: answers cannot be held to a schema, or the grammar is too large.
        """
        digest = hashlib.sha256(repr(spec).encode()).hexdigest()
        if digest not in self._tried:
            await self._workers.call(_try_grammar, spec)
        self._tried[digest] = None
        self._tried.move_to_end(digest)
        while len(self._tried) > _TRIED:
            self._tried.popitem(last=False)


def _check(text: str, strictness: Strictness) -> dict[str, Any]:
    schema = json.loads(text)
    count = sum(1 for _ in subschemas(schema))
    if count > _MAX_SCHEMAS:
        raise ConfigError(f"the schema has {count:,} properties and other schemas in it; the limit is {_MAX_SCHEMAS:,}")
    try:
        found = localize_references(to_draft_2020_12(schema))
        check_is_schema(found)
        check_schema(found, python_patterns=False)
        if strictness != "any":
            check_strict(found, optional=strictness == "strict_parameters")
    except RecursionError:
        raise ConfigError("the schema is nested too deep") from None
    return close_top(found)


def _try_grammar(spec: AnswerSpec) -> None:
    problems: list[BaseException] = []

    def work() -> None:
        try:
            text, _ = hold_answer(spec, _byte_tokens(), {})
            compile_grammar(text, _byte_tokens())
        except BaseException as error:
            problems.append(error)

    before = threading.stack_size(_TRIAL_STACK_BYTES)
    try:
        thread = threading.Thread(target=work)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if problems:
        raise problems[0]


@functools.cache
def _byte_tokens() -> Any:
    return require("llguidance", extra="local", needed_for="constraining answers to the schema").LLTokenizer("byte")
