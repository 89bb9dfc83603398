"""Write every reference inside a schema as a path from its root: ``#/$defs/Name``.

JSON Schema also lets a reference name an anchor, or the ``$id`` of a schema inside (core, sections 8.2 and 8.5).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urldefrag, urljoin

from ftkit.schema.keywords import map_placed_subschemas

__all__ = ["localize_references"]

_NAMES = ("$anchor", "$dynamicAnchor", "$id", "$recursiveAnchor")


def localize_references(root: dict[str, Any]) -> dict[str, Any]:
    """Rewrite references to anchors and to schemas inside with an ``$id``.

    Dynamic references become references to the anchor of their name, which is what they mean in a single document.

    Args:
        root: the whole schema.

    Returns:
        A copy without ``$id`` and anchors; a reference to another document stays as it is.
    """
    targets: dict[str, str] = {}

    def collect(part: Any, pointer: str, address: str) -> Any:
        if isinstance(part, dict):
            if isinstance(part.get("$id"), str):
                address = urljoin(address, part["$id"])
                targets[urldefrag(address)[0]] = pointer
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(part.get(keyword), str):
                    targets[f"{urldefrag(address)[0]}#{part[keyword]}"] = pointer
            map_placed_subschemas(part, lambda item, place: collect(item, _join(pointer, place), address))
        return part

    def rewrite(part: Any, address: str) -> Any:
        if not isinstance(part, dict):
            return part
        if isinstance(part.get("$id"), str):
            address = urljoin(address, part["$id"])
        copy = {key: value for key, value in part.items() if key not in _NAMES}
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(copy.get(keyword), str):
                copy["$ref"] = _local(copy.pop(keyword), address, targets)
        return map_placed_subschemas(copy, lambda item, place: rewrite(item, address))

    targets[""] = "#"
    collect(root, "#", "")
    found: dict[str, Any] = rewrite(root, "")
    return found


def _local(reference: str, address: str, targets: dict[str, str]) -> str:
    document, fragment = urldefrag(urljoin(address, reference))
    if f"{document}#{fragment}" in targets:
        return targets[f"{document}#{fragment}"]
    if document in targets and (not fragment or fragment.startswith("/")):
        return targets[document] + fragment
    return reference


def _join(pointer: str, place: tuple[str | int, ...]) -> str:
    return pointer + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)
