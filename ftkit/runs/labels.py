"""What users write on runs: a name, tags and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.arguments import check_kind
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError

__all__ = ["label_fields"]

_LONGEST = {"name": 128, "tags": 64, "notes": 10_000}
_MOST_TAGS = 50


def label_fields(name: str | None, tags: Sequence[str] | None, notes: str | None) -> dict[str, Any]:
    """Check the name, the tags and the notes of a run.

    Args:
        name: the name.
        tags: the tags.
        notes: the notes.

    Returns:
        The fields of the run's record that were given; an empty name or empty notes become None.

    Raises:
        ConfigError: a value is not a text, is too long, or has line breaks where it must not.
    """
    fields: dict[str, Any] = {}
    if name is not None:
        fields["name"] = _checked("name", name) or None
    if tags is not None:
        if isinstance(tags, str) or not isinstance(tags, Sequence):
            check_kind(tags, (), "tags", 'a list of texts: ["baseline"]')
        if len(tags) > _MOST_TAGS:
            raise ConfigError(ErrorText(Argument("tags", text="tags"), f": at most {_MOST_TAGS}, not {len(tags)}"))
        fields["tags"] = tuple(dict.fromkeys(_checked("tags", tag) for tag in tags))
    if notes is not None:
        fields["notes"] = _checked("notes", notes) or None
    return fields


def _checked(field: str, text: object) -> str:
    if not isinstance(text, str):
        check_kind(text, str, field, "a text")
    said = str(text).strip()
    if len(said) > _LONGEST[field]:
        raise ConfigError(
            ErrorText(Argument(field, text=field), f": at most {_LONGEST[field]:,} characters, not {len(said):,}")
        )
    if field != "notes" and not said.isprintable():
        raise ConfigError(ErrorText(Argument(field, text=field), f": {said!r} has control characters or line breaks"))
    if field == "tags" and not said:
        raise ConfigError(ErrorText(Argument(field, text=field), ": a tag is empty"))
    return said
