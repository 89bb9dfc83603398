"""References (``$ref``) inside a schema: check them, follow them, and inline what they point to."""

from __future__ import annotations

import re
from typing import Any

from ftkit.errors import ConfigError
from ftkit.schema.keywords import ANNOTATIONS, map_subschemas, subschemas

__all__ = ["check_references", "inline_references", "resolve_reference"]

_MAX_PARTS = 5000
_IN_PLACE = ("allOf", "anyOf", "oneOf", "if", "then", "else", "not")


def resolve_reference(reference: str, root: dict[str, Any]) -> Any:
    """Return the schema that a reference points to.

    Args:
        reference: ``#``, or a path such as ``#/$defs/Node``.
        root: the whole schema.

    Returns:
        The schema.

    Raises:
        ConfigError: it points nowhere, or to another document, which ftkit never fetches.
    """
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        raise ConfigError(
            f'"$ref": "{reference}" points out of the schema; copy what it means into "$defs" and write "#/$defs/Name"'
        )
    target: Any = root
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, dict) and key in target:
            target = target[key]
        elif isinstance(target, list) and re.fullmatch(r"[0-9]{1,6}", key) and int(key) < len(target):
            target = target[int(key)]
        else:
            raise ConfigError(f'"$ref": "{reference}" points nowhere: there is no "{key}"')
    if not isinstance(target, dict | bool):
        raise ConfigError(f'"$ref": "{reference}" points to something that is not a schema')
    return target


def check_references(root: dict[str, Any]) -> None:
    """Check that every reference points into the schema, and not back to itself without a step into the value.

    Args:
        root: the whole schema.

    Raises:
        ConfigError: a reference that does not; names it.
    """
    for schema in subschemas(root):
        for keyword in ("$dynamicRef", "$recursiveRef"):
            if keyword in schema:
                raise ConfigError(f'"{keyword}" is not supported; use "$ref"')
        if "$id" in schema and schema is not root:
            raise ConfigError('"$id" inside a schema changes what "$ref" means and is not supported; take it out')
        if "$ref" in schema:
            _refuse_loop(schema, root, ())


def _refuse_loop(schema: Any, root: dict[str, Any], visited: tuple[str, ...]) -> None:
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        reference = schema["$ref"]
        if reference in visited:
            raise ConfigError(f'"$ref": "{reference}" leads back to itself')
        _refuse_loop(resolve_reference(reference, root), root, (*visited, reference))
    for keyword in _IN_PLACE:
        inside = schema.get(keyword, [])
        for item in inside if isinstance(inside, list) else [inside]:
            _refuse_loop(item, root, visited)


class _TooLargeError(Exception):
    """The inlined schema would be too large."""


def inline_references(root: dict[str, Any]) -> dict[str, Any]:
    """Replace each reference by the schema that it points to. Recursive schemas stay in ``$defs``.

    Args:
        root: the whole schema.

    Returns:
        A copy; the schema itself if the copy would have more than 5,000 parts.
    """
    references = {schema["$ref"] for schema in subschemas(root) if "$ref" in schema}
    recursive = {reference for reference in references if _reaches_itself(reference, root)}
    budget = _MAX_PARTS

    def expand(schema: Any) -> Any:
        nonlocal budget
        if not isinstance(schema, dict):
            return schema
        budget -= 1
        if budget < 0:
            raise _TooLargeError
        if "$ref" not in schema or schema["$ref"] in recursive:
            return map_subschemas(schema, expand)
        target = expand(resolve_reference(schema["$ref"], root))
        beside = map_subschemas({key: value for key, value in schema.items() if key != "$ref"}, expand)
        if isinstance(target, dict) and (ANNOTATIONS.issuperset(beside) or not target):
            return {**target, **beside}
        return {"allOf": [target], **beside} if beside else target

    try:
        body = expand({key: value for key, value in root.items() if key not in ("$defs", "definitions")})
        if not isinstance(body, dict):  # the root was a reference to true or false
            return root
        for place in ("$defs", "definitions"):
            kept = {name: part for name, part in root.get(place, {}).items() if f"#/{place}/{name}" in recursive}
            if kept:
                body[place] = {name: expand(part) for name, part in kept.items()}
    except _TooLargeError:
        return root
    left = {schema["$ref"] for schema in subschemas(body) if "$ref" in schema}
    try:
        for reference in left:
            resolve_reference(reference, body)
    except ConfigError:  # a recursive reference to elsewhere than $defs, whose target has moved
        return root
    return body


def _reaches_itself(reference: str, root: dict[str, Any]) -> bool:
    pending, visited = [reference], set[str]()
    while pending:
        for schema in subschemas(resolve_reference(pending.pop(), root)):
            target = schema.get("$ref")
            if target == reference:
                return True
            if isinstance(target, str) and target not in visited:
                visited.add(target)
                pending.append(target)
    return False
