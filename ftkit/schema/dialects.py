"""Read schemas of older drafts: write their keywords as draft 2020-12 does.

Clients still send them: converters of TypeScript types write draft 7, and OpenAPI 3.0 has draft 4's numeric limits.
Sources: the release notes of JSON Schema 2019-09 and 2020-12; OpenAPI 3.0.3, "Schema Object".
"""

from __future__ import annotations

from typing import Any

from ftkit.schema.keywords import map_subschemas

__all__ = ["to_draft_2020_12"]

_OLD_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07", "2019-09")


def to_draft_2020_12(schema: Any) -> Any:
    """Translate what older drafts and OpenAPI 3.0 write otherwise. Keywords of draft 2020-12 stay as they are.

    Args:
        schema: the schema.

    Returns:
        A copy with ``prefixItems`` for a list in ``items``, ``dependentRequired`` and ``dependentSchemas`` for
        ``dependencies``, a number for a boolean ``exclusiveMinimum`` or ``exclusiveMaximum``, and null among the types
        for ``nullable``.
    """
    if not isinstance(schema, dict):
        return schema
    copy = dict(schema)
    if any(draft in str(copy.get("$schema", "")) for draft in _OLD_DRAFTS):
        del copy["$schema"]
    if isinstance(copy.get("items"), list):
        _translate_items(copy)
    if isinstance(copy.get("dependencies"), dict):
        _translate_dependencies(copy)
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(copy.get(exclusive), bool) and copy.pop(exclusive) and limit in copy:
            copy[exclusive] = copy.pop(limit)
    if copy.get("nullable") is True and isinstance(copy.get("type"), str):
        copy["type"] = [copy["type"], "null"]
        del copy["nullable"]
        if isinstance(copy.get("enum"), list) and None not in copy["enum"]:
            copy["enum"] = [*copy["enum"], None]
    return map_subschemas(copy, to_draft_2020_12)


def _translate_items(schema: dict[str, Any]) -> None:
    prefix = schema.pop("items")
    if prefix:
        schema["prefixItems"] = prefix
    if "additionalItems" in schema:
        schema["items"] = schema.pop("additionalItems")


def _translate_dependencies(schema: dict[str, Any]) -> None:
    for name, needed in schema.pop("dependencies").items():
        keyword = "dependentRequired" if isinstance(needed, list) else "dependentSchemas"
        schema[keyword] = {**schema.get(keyword, {}), name: needed}
