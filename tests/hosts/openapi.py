"""Holding requests and answers to an OpenAPI file, where ``FTKIT_OPENAPI_SPECS`` names a folder that has it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema
import yaml

from .serving import Call, form

SPECS = "FTKIT_OPENAPI_SPECS"


@cache
def _read(file: str) -> dict[str, Any] | None:
    folder = os.environ.get(SPECS)
    if not folder:
        return None
    text = (Path(folder) / file).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return found


class OpenApi:
    """One file.

    Args:
        file: its name.
        unlisted: what the host has and the file does not, as ``"POST /files"``.
        deviations: patterns of problems that answers of the real host have too.
        also: fields that may stand in a body beside those of the file.
    """

    def __init__(
        self,
        file: str,
        *,
        unlisted: frozenset[str] = frozenset(),
        deviations: Sequence[str] = (),
        also: frozenset[str] = frozenset(),
    ) -> None:
        self.file, self.unlisted, self.deviations, self.also = file, unlisted, deviations, also
        self.seen: set[str] = set()

    def request_problems(self, call: Call) -> Iterator[str]:
        """What a request has that the file does not allow, or lacks."""
        spec = _read(self.file)
        if spec is None:
            return
        name = self._named(spec, call)
        if name is None:
            yield f"{call.method} {call.path} is not in {self.file}"
            return
        if name in self.unlisted:
            return
        self.seen.add(name)
        operation = _operation(spec, name)
        yield from (f"{name}: {problem}" for problem in self._query(spec, operation, call))
        content = operation.get("requestBody", {}).get("content", {})
        if call.body and not content:
            yield f"{name}: it takes no body, and {call.body[:80]!r} was sent"
        elif call.body:
            yield from (f"{name}: {problem}" for problem in self._body(spec, content, call))
        elif operation.get("requestBody", {}).get("required"):
            yield f"{name}: it needs a body"

    def answer_problems(self, call: Call, status: int, content: Any) -> Iterator[str]:
        """Where an answer differs from the file."""
        spec = _read(self.file)
        name = None if spec is None else self._named(spec, call)
        if spec is None or name is None or name in self.unlisted or status >= 400:
            return
        answer = _operation(spec, name)["responses"].get(str(status), {}).get("content", {}).get("application/json")
        if answer is not None and not isinstance(content, bytes):  # files are what they are
            for problem in _problems(spec, answer["schema"], content):
                if not any(re.search(known, problem) for known in self.deviations):
                    yield f"{name} answers: {problem}"

    def _named(self, spec: dict[str, Any], call: Call) -> str | None:
        path = call.path.removeprefix("/v1")
        for known in sorted(spec["paths"], key=lambda one: "{" in one):
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", known)
            if re.fullmatch(pattern, path) and call.method.lower() in spec["paths"][known]:
                return f"{call.method} {known}"
        for one in self.unlisted:
            method, _, known = one.partition(" ")
            if method == call.method and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", known), path):
                return one
        return None

    def _query(self, spec: dict[str, Any], operation: dict[str, Any], call: Call) -> Iterator[str]:
        known = {one["name"]: one for one in operation.get("parameters", []) if one["in"] == "query"}
        sent: dict[str, Any] = {}
        for name, value in call.query.items():
            base, _, inner = name.partition("[")
            if inner:
                sent.setdefault(base, {})[inner.rstrip("]")] = value
            else:
                sent[name] = value
        yield from (f"it knows no query parameter {name}" for name in sent if name not in known)
        needed = [name for name, one in known.items() if one.get("required")]
        yield from (f"it needs the query parameter {name}" for name in needed if name not in sent)
        for name in sent.keys() & known.keys():
            schema = known[name].get("schema", {})
            value = int(sent[name]) if _whole(spec, schema) and str(sent[name]).isdigit() else sent[name]
            yield from (f"{name}: {problem}" for problem in _problems(spec, schema, value))

    def _body(self, spec: dict[str, Any], content: dict[str, Any], call: Call) -> Iterator[str]:
        kind = call.headers.get("content-type", "").partition(";")[0]
        if kind not in content:
            yield f"the body is {kind}, and it takes {', '.join(content)}"
            return
        schema = content[kind]["schema"]
        if kind == "multipart/form-data":
            sent: dict[str, Any] = {
                name: held.decode("latin-1") if file is not None else held.decode()
                for name, (file, held) in form(call).items()
            }
        elif kind == "application/x-www-form-urlencoded":
            sent = dict(parse_qsl(call.body.decode()))
        else:
            sent = call.json()
        known = _properties(spec, schema)
        yield from (f"it knows no field {name}" for name in sent if known and name not in known | self.also)
        if kind != "multipart/form-data":  # whose schema says of files that they are bytes
            yield from _problems(spec, schema, sent)
        else:
            needed = _resolved(spec, schema).get("required", [])
            yield from (f"it needs the field {name}" for name in needed if name not in sent)


def _operation(spec: dict[str, Any], name: str) -> dict[str, Any]:
    method, _, path = name.partition(" ")
    found: dict[str, Any] = spec["paths"][path][method.lower()]
    return found


def _problems(spec: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    whole = {"allOf": [schema], "components": spec["components"]}
    errors = jsonschema.Draft202012Validator(whole).iter_errors(value)
    # Alternatives of which two fit are the file's own fault: what the official client sends is among them.
    return [
        f"{error.json_path}: {error.message[:300]}" for error in errors if "is valid under each of" not in error.message
    ]


def _resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _properties(spec: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    found = _resolved(spec, schema)
    names = set(found.get("properties", {}))
    for part in (*found.get("allOf", ()), *found.get("anyOf", ()), *found.get("oneOf", ())):
        names |= _properties(spec, part)
    return names


def _whole(spec: dict[str, Any], schema: dict[str, Any]) -> bool:
    return "integer" in json.dumps(_resolved(spec, schema).get("type", ""))
