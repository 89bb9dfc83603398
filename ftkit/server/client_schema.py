"""JSON Schemas that clients send: bounded in size, and checked in a worker process."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any, Literal

from ftkit.errors import ConfigError
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
_CACHED = 256


class ClientSchemas:
    """Checks schemas. The latest ones are kept, because clients send the same schema with every request.

    Args:
        workers: where they are checked.
    """

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers
        self._known: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
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
            self._known[strictness, text] = found
            self._known.move_to_end((strictness, text))
            while len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return found


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
