"""Holding answers to OpenAI's OpenAPI file, where there is one."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

SPECS = "FTKIT_OPENAPI_SPECS"
"""Names a folder with openai-finetuning-openapi.yaml; answers are validated against it when it is set."""

seen: set[tuple[str, str]] = set()
"""Paths and methods whose answers were validated."""


@cache
def specification() -> dict[str, Any] | None:
    folder = os.environ.get(SPECS)
    if not folder:
        return None
    text = (Path(folder) / "openai-finetuning-openapi.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    # The file has one grader where OpenAI's guide "Graders" has several, by the names that stand in the formula.
    found["components"]["schemas"]["GraderMulti"]["properties"]["graders"] = {"type": "object"}
    return found


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    spec = specification() or {"paths": {}}
    found = [(re.compile("/v1" + re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in spec["paths"]]
    return sorted(found, key=lambda one: "{" in one[1])


def validate_answer(response: Any) -> None:
    """Hold an answer of the server to the file; a hook of the HTTP client."""
    spec = specification()
    method = response.request.method.lower()
    path = next((name for pattern, name in _patterns() if pattern.fullmatch(response.request.url.path)), None)
    if spec is None or path is None or "json" not in response.headers.get("content-type", ""):
        return
    response.read()
    body = response.json()
    if response.status_code >= 400:
        schema: dict[str, Any] = {"$ref": "#/components/schemas/ErrorResponse"}
    else:
        answers = spec["paths"][path][method]["responses"]
        schema = answers["200"]["content"]["application/json"]["schema"]
        seen.add((path, method))
    # The file's own example of a paused job breaks the file's list of statuses.
    body = json.loads(json.dumps(body).replace('"status": "paused"', '"status": "running"'))
    jsonschema.Draft202012Validator({**schema, "components": spec["components"]}).validate(body)


def validate_as(schema: str, body: Any) -> None:
    """Hold a part of an answer to one of the file's schemas."""
    spec = specification()
    if spec is not None:
        held = {"$ref": f"#/components/schemas/{schema}", "components": spec["components"]}
        jsonschema.Draft202012Validator(held).validate(body)
