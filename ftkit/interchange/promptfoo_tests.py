"""Tests of promptfoo's configurations: lists, files of YAML, JSON, JSON Lines and CSV.

Source: https://www.promptfoo.dev/docs/configuration/test-cases/.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ftkit.errors import DataError
from ftkit.interchange.foreign import MAX_ROWS
from ftkit.interchange.promptfoo_values import FILE
from ftkit.yaml_text import read_yaml_value

__all__ = ["TEST_FILES", "assertion", "read_tests", "resolved"]

TEST_FILES = (".json", ".jsonl", ".yaml", ".yml", ".csv")
_TYPED = re.compile(r"(not-)?([a-z][a-z0-9-]{1,40})(?:\(\d[\d.]{0,20}\))?(?::(.*))?", re.DOTALL)
_CODE = {"fn": "javascript", "eval": "javascript", "grade": "llm-rubric"}
_TYPES = {
    *("equals", "contains", "icontains", "contains-all", "icontains-all", "contains-any", "icontains-any", "regex"),
    *("starts-with", "contains-json", "is-json", "contains-xml", "is-xml", "contains-html", "is-html", "contains-sql"),
    *("is-sql", "is-valid-openai-tools-call", "is-valid-openai-function-call", "is-valid-function-call", "is-refusal"),
    *("javascript", "python", "ruby", "webhook", "similar", "llm-rubric", "g-eval", "factuality", "moderation"),
    *("model-graded-closedqa", "model-graded-factuality", "answer-relevance", "context-recall", "context-relevance"),
    *("context-faithfulness", "classifier", "levenshtein", "rouge-n", "bleu", "gleu", "meteor", "cost", "latency"),
    *("perplexity", "perplexity-score", "word-count", "finish-reason", "guardrails", "select-best", "pi"),
}


def read_tests(given: Any, name: str, read: Callable[[str], str]) -> list[Any]:
    """Read what a configuration says of its tests.

    Args:
        given: ``tests``: a list of tests and names of files, or the name of a file.
        name: what errors call the configuration.
        read: reads the text of a file that the configuration names.

    Returns:
        The tests.

    Raises:
        DataError: they are something else, or a file has another form or cannot be read.
    """
    parts = given if isinstance(given, list) else [given] if isinstance(given, str) else []
    tests: list[Any] = []
    for part in parts:
        tests += _file(part, name, read) if isinstance(part, str) else [part]
        if len(tests) > MAX_ROWS:
            raise DataError(f"{name} has more than {MAX_ROWS:,} tests")
    if not tests:
        raise DataError(f"{name}: tests is no list of tests")
    return tests


def _file(named: str, name: str, read: Callable[[str], str]) -> list[Any]:
    path = named.removeprefix(FILE)
    if not path.lower().endswith(TEST_FILES) or "*" in path:
        raise DataError(f"{name}: tests is {named!r:.80}; only lists, and files of {', '.join(TEST_FILES)} can be read")
    text = read(path)
    if path.lower().endswith(".csv"):
        return _csv(text, path)
    if path.lower().endswith(".jsonl"):
        tests = []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    tests.append(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}:{number}: not JSON: {error}") from None
        return tests
    content = read_yaml_value(text, path, core=True)
    return content if isinstance(content, list) else [content]


def _csv(text: str, path: str) -> list[Any]:
    """Tests of a table: columns are variables, ``__expected`` and ``__expected1`` and so on are assertions."""
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    tests: list[Any] = []
    try:
        header = [column.strip() for column in next(rows, [])]
        for number, row in enumerate(rows, 2):
            if not any(row):
                continue
            if len(row) > len(header):
                raise DataError(f"{path}: row {number} has {len(row)} values, and the header has {len(header)} columns")
            columns = dict(zip(header, row, strict=False))
            checks = [
                assertion(value)
                for column, value in columns.items()
                if re.fullmatch(r"__expected\d{0,4}", column) and value.strip()
            ]
            own = {column: value for column, value in columns.items() if column and not column.startswith("__")}
            around = {end: columns[f"__{end}"] for end in ("prefix", "suffix") if columns.get(f"__{end}")}
            tests.append({"vars": own, "assert": checks, **({"options": around} if around else {})})
    except csv.Error as error:
        raise DataError(f"{path}: not CSV: {error}") from None
    return tests


def assertion(text: str) -> dict[str, Any]:
    """Read an assertion of a table, as ``assertionFromString`` of promptfoo does.

    Args:
        text: e.g. ``"icontains:yes"``; a text without a type is the wanted answer.

    Returns:
        The assertion.
    """
    match = _TYPED.fullmatch(text.strip())
    if match is not None:
        kind = _CODE.get(match[2], match[2])
        if kind in _TYPES and (match[3] is not None or kind not in ("equals", "contains", "similar")):
            return {"type": f"{match[1] or ''}{kind}", "value": match[3]}
    return {"type": "equals", "value": text}


def resolved(check: Any, root: Mapping[str, Any]) -> Any:
    """Replace a reference to one of the configuration's templates of assertions.

    Args:
        check: an assertion, e.g. ``{"$ref": "#/assertionTemplates/short"}``.
        root: the configuration.

    Returns:
        The assertion.
    """
    reference = check.get("$ref") if isinstance(check, dict) else None
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return check
    found: Any = root
    for step in reference[2:].split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else check
