"""JSON Schemas that clients send: bounded in size, and checked in a worker process."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any

from ftkit.errors import ConfigError
from ftkit.schema import JsonOutput
from ftkit.schema.keywords import subschemas
from ftkit.server.workers import WorkerPool

__all__ = ["ClientSchemas"]

_MAX_SCHEMAS = 5_000
"""Most schemas inside of one, counting every property. OpenAI's limit of properties (guide "Structured outputs")."""
_MAX_CHARACTERS = 512 * 1024
"""Longest schema, as JSON."""
_CACHED = 64


class ClientSchemas:
    """Compiles schemas. The latest ones are kept, because clients send the same schema with every request.

    Args:
        workers: where they are compiled.
    """

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers
        self._known: OrderedDict[tuple[str, str], JsonOutput] = OrderedDict()
        self._lock = threading.Lock()

    async def output(self, schema: dict[str, Any], name: str = "answer") -> JsonOutput:
        """Compile a schema.

        Args:
            schema: the schema.
            name: its name.

        Returns:
            The output type.

        Raises:
            ConfigError: it is not a valid schema, or larger than clients may send.
        """
        text = json.dumps(schema)
        with self._lock:
            found = self._known.get((name, text))
        if found is None:
            if len(text) > _MAX_CHARACTERS:
                raise ConfigError(f"the schema has {len(text):,} characters, and the limit is {_MAX_CHARACTERS:,}")
            found = await self._workers.call(_compile, text, name)
        with self._lock:
            self._known[name, text] = found
            self._known.move_to_end((name, text))
            while len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return found


def _compile(text: str, name: str) -> JsonOutput:
    schema = json.loads(text)
    count = sum(1 for _ in subschemas(schema))
    if count > _MAX_SCHEMAS:
        raise ConfigError(f"the schema has {count:,} properties and other schemas in it; the limit is {_MAX_SCHEMAS:,}")
    return JsonOutput(name=name, json_schema=schema)
