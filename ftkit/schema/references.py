"""References (``$ref``) inside a schema: check them, follow them, and inline what they point to."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from ftkit.errors import ConfigError
from ftkit.schema.keywords import ANNOTATIONS, map_subschemas, subschemas

__all__ = ["check_references", "inline_references", "resolve_reference"]

_MAX_PARTS = 5000
_MAX_DEPTH = 300
"""Most levels of schemas inside of each other, references included. Whoever reads a schema recurses, also libraries in
other languages, and a thousand levels are more than their stacks hold."""
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
        ConfigError: a reference that does not; names it. Or references lead through more than 300 levels of schemas.
    """
    for schema in subschemas(root):
        for keyword in ("$dynamicRef", "$recursiveRef"):
            if keyword in schema:
                raise ConfigError(f'"{keyword}" is not supported; use "$ref"')
        if "$id" in schema and schema is not root:
            raise ConfigError('"$id" inside a schema changes what "$ref" means and is not supported; take it out')
    _refuse_loops(root)
    _refuse_deep(root)


def _refuse_deep(root: dict[str, Any]) -> None:
    """Follow schemas and references as far down as they lead, each schema once."""
    resolve = functools.cache(lambda reference: resolve_reference(reference, root))
    depths: dict[int, int] = {}
    path: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [(root, _inside(root, resolve))]
    opened = {id(root)}
    while path:
        schema, inside = path[-1]
        while inside and (id(inside[-1]) in depths or id(inside[-1]) in opened):  # known, or a schema that recurs
            inside.pop()
        if inside:
            opened.add(id(inside[-1]))
            path.append((inside[-1], _inside(inside[-1], resolve)))
        else:
            path.pop()
            depths[id(schema)] = 1 + max((depths.get(id(one), 0) for one in _inside(schema, resolve)), default=0)
            if depths[id(schema)] > _MAX_DEPTH:
                raise ConfigError(f"the schema is nested more than {_MAX_DEPTH} levels deep, with its references")


def _inside(schema: dict[str, Any], resolve: Callable[[str], Any]) -> list[dict[str, Any]]:
    """The schemas directly inside of a schema, and the one that its reference points to."""
    found: list[Any] = []
    map_subschemas(
        {name: value for name, value in schema.items() if name not in ("$defs", "definitions")}, found.append
    )
    if "$ref" in schema:
        found.append(resolve(schema["$ref"]))
    return [one for one in found if isinstance(one, dict)]


def _refuse_loops(root: dict[str, Any]) -> None:
    """Search depth first, along references and schemas for the same value. Each schema is looked at once."""
    resolve = functools.cache(lambda reference: resolve_reference(reference, root))
    ended: set[int] = set()
    for start in subschemas(root):
        if "$ref" not in start or id(start) in ended:
            continue
        path = [(start, "", _in_place(start, resolve))]
        followed = {id(start)}
        while path:
            schema, _, steps = path[-1]
            reference, step = next(steps, ("", None))
            if step is None:
                path.pop()
                followed.discard(id(schema))
                ended.add(id(schema))
            elif id(step) in followed:
                name = reference or next(text for _, text, _ in reversed(path) if text)
                raise ConfigError(f'"$ref": "{name}" leads back to itself')
            elif id(step) not in ended:
                followed.add(id(step))
                path.append((step, reference, _in_place(step, resolve)))


def _in_place(schema: dict[str, Any], resolve: Callable[[str], Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schemas that apply to the same value as ``schema``, each with the reference that names it, if any."""
    if "$ref" in schema:
        target = resolve(schema["$ref"])
        if isinstance(target, dict):
            yield schema["$ref"], target
    for keyword in _IN_PLACE:
        inside = schema.get(keyword, [])
        for item in inside if isinstance(inside, list) else [inside]:
            if isinstance(item, dict):
                yield "", item


class _TooLargeError(Exception):
    """The inlined schema would be too large."""


def inline_references(root: dict[str, Any]) -> dict[str, Any]:
    """Replace each reference by the schema that it points to. Recursive schemas stay in ``$defs``.

    Args:
        root: the whole schema.

    Returns:
        A copy; the schema itself if the copy would have more than 5,000 parts.
    """
    recursive = _recursive_references(root)
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
    except (_TooLargeError, RecursionError):
        return root
    left = {schema["$ref"] for schema in subschemas(body) if "$ref" in schema}
    try:
        for reference in left:
            resolve_reference(reference, body)
    except ConfigError:  # a recursive reference to elsewhere than $defs, whose target has moved
        return root
    return body


def _recursive_references(root: dict[str, Any]) -> set[str]:
    """Find the references whose target contains them again, through any number of other references."""
    # Tarjan's algorithm for strongly connected components (SIAM Journal on Computing 1, 1972), without recursion.
    inside: dict[str, list[str]] = {}

    def references_in(reference: str) -> list[str]:
        if reference not in inside:
            found = subschemas(resolve_reference(reference, root))
            inside[reference] = [*dict.fromkeys(schema["$ref"] for schema in found if "$ref" in schema)]
        return inside[reference]

    recursive: set[str] = set()
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    unassigned: dict[str, None] = {}  # visited, and not yet in a component; in order
    for start in {schema["$ref"]: None for schema in subschemas(root) if "$ref" in schema}:
        pending = [] if start in order else [(start, iter(references_in(start)))]
        while pending:
            reference, steps = pending[-1]
            if reference not in order:
                order[reference] = lowest[reference] = len(order)
                unassigned[reference] = None
            step = next(steps, None)
            if step is None:
                pending.pop()
                if pending:
                    lowest[pending[-1][0]] = min(lowest[pending[-1][0]], lowest[reference])
                if lowest[reference] == order[reference]:
                    members = [unassigned.popitem()[0]]
                    while members[-1] != reference:
                        members.append(unassigned.popitem()[0])
                    if len(members) > 1 or reference in references_in(reference):
                        recursive.update(members)
            elif step not in order:
                pending.append((step, iter(references_in(step))))
            elif step in unassigned:
                lowest[reference] = min(lowest[reference], order[step])
    return recursive
