"""H: what the named hosts would refuse, from the catalogue of their documented limits; and J008, strict schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule, Rule, WholeRule
from ftkit.results.number_format import counted

if TYPE_CHECKING:
    from ftkit.catalog import HostedModel, Limits
    from ftkit.catalog.facts import Method
    from ftkit.data.row_reader import Kind

__all__ = ["HostContext", "HostFileSize", "HostImages", "HostMethod", "HostRows", "StrictKeyword"]

_METHODS: dict[Kind, Method] = {"demonstrations": "sft", "preferences": "dpo", "prompts": "rft"}
"""What rows of each kind are for."""

_CHARACTERS_A_TOKEN = 4
"""Of English text, roughly. A row is reported only from twice the limit on, counted so."""


def hosts(setting: Setting) -> list[tuple[str, Limits | None, HostedModel | None]]:
    """The named hosts, each with its limits for rows of this kind and what is known of the model, if listed."""
    from ftkit.catalog import load_catalog

    facts = load_catalog()
    method = _METHODS[setting.kind]
    found = []
    for name in setting.hosted:
        provider, model = setting.listed[name]
        found.append((name, facts.limits(provider, method), facts.model(provider, model)))
    return found


class _OnHosts(Rule):
    """A rule that has nothing to look at when the rows stay on this machine, or go where nothing is known of."""

    def wants(self, setting: Setting) -> str | None:
        if not setting.hosted:
            return ""
        known = any(limits or model for _, limits, model in hosts(setting))
        return None if known else f"the catalogue knows nothing of {', '.join(setting.hosted)}"


class HostRows(_OnHosts, WholeRule):
    """The host takes no file with so few or so many rows, as its documentation says.

    Collect or drop rows. The limits, their sources and their dates: ``ftkit catalog``.
    """

    code = "H001"
    name = "host-rows"
    summary = "The host takes no file with so few or so many rows."
    severity = "error"

    def check(self, whole: Whole) -> Iterator[Found]:
        for name, limits, _ in hosts(whole.setting):
            objection = None if limits is None else limits.rows_refused(whole.setting.rows["train"])
            if objection is not None:
                yield Found(f"{name} takes {objection} (see `ftkit catalog`)")


class HostFileSize(_OnHosts, WholeRule):
    """The files are larger than the host takes. What is uploaded is written anew by ftkit, without columns that are not
    sent, so the size is about right and no more.

    Use fewer or shorter rows.
    """

    code = "H002"
    name = "host-file-size"
    summary = "The files are larger than the host takes."

    def check(self, whole: Whole) -> Iterator[Found]:
        size = whole.training_bytes
        for name, limits, _ in hosts(whole.setting):
            most = None if limits is None else limits.max_upload_bytes or limits.max_file_bytes
            if limits is not None and most is not None and size > most:
                yield Found(
                    f"{name} takes up to {most / 1e6:,.0f} MB, there are about {size / 1e6:,.0f} (see `ftkit catalog`)"
                )


class HostContext(_OnHosts, RowRule):
    """The row is longer than the host trains on: hosts cut such rows, and the answer at the end is what is lost.
    Counted at four characters a token, and reported from twice the limit on, so that no row is blamed for a rough
    count.

    Shorten the row or drop it.
    """

    code = "H003"
    name = "host-context"
    summary = "The row is longer than the host trains on."

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        tokens = len(seen.all_text) // _CHARACTERS_A_TOKEN
        if tokens < 4_096:  # no host's limit is below, and looking it up costs more than all else here
            return
        for name, _, model in hosts(setting):
            if model is not None and model.training_context is not None and tokens > 2 * model.training_context:
                yield Found(
                    f"about {tokens:,} tokens, and {name} trains on {model.training_context:,} ({model.source})"
                )


class HostImages(_OnHosts, RowRule):
    """The row holds images, and the model is tuned on text alone, or takes fewer a row. The host refuses the file.

    Name a model that is tuned on images (``ftkit catalog``), or take them out.
    """

    code = "H004"
    name = "host-images"
    summary = "The row holds images that the host does not take."
    severity = "error"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        images = sum(
            part["type"] != "text"
            for turn in seen.messages
            if isinstance(turn.get("content"), list)
            for part in turn["content"]
        )
        if not images:
            return
        for name, limits, model in hosts(setting):
            if model is not None and "image" not in model.inputs:
                yield Found(f"{counted(images, 'image')}, and {name} is tuned on text alone ({model.source})")
            elif limits is not None and limits.max_images_per_row is not None and images > limits.max_images_per_row:
                most = limits.max_images_per_row
                yield Found(f"{images} images, and {name} takes {most} a row (see `ftkit catalog`)")


class HostMethod(_OnHosts, WholeRule):
    """The host does not tune this model on rows of this kind (preferences, mostly), or takes no jobs for it any more.
    What is known of the model, with source and date, is in the catalogue.

    Name another model or host: ``ftkit catalog`` lists what each tunes, and until when.
    """

    code = "H005"
    name = "host-method"
    summary = "The host does not tune this model on such rows, or not any more."
    severity = "error"

    def check(self, whole: Whole) -> Iterator[Found]:
        from ftkit.catalog import days_until, load_catalog

        method = _METHODS[whole.setting.kind]
        for name, _, model in hosts(whole.setting):
            if model is not None and method not in model.methods:
                able = ", ".join(model.methods) or "nothing"
                yield Found(f"{name} is tuned by {able}, not by {method} ({model.source})")
            closes = load_catalog().training_closes(*whole.setting.listed[name])
            if closes is not None and days_until(closes.on) < 0:
                yield Found(f"{name} takes no jobs since {closes.on} ({closes.source})")


_NOT_STRICT = {
    *("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "patternProperties"),
    *("unevaluatedProperties", "propertyNames", "minProperties", "maxProperties", "unevaluatedItems", "contains"),
    *("minContains", "maxContains", "uniqueItems"),
}
_NOT_STRICT_WHEN_TUNED = {
    *("minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minItems", "maxItems"),
}


class StrictKeyword(WholeRule):
    """The schema has keywords that OpenAI's and Azure's strict mode refuse: some always, and for tuned models also
    lengths, patterns and ranges (https://platform.openai.com/docs/guides/structured-outputs, "supported schemas"). A
    schema that served a base model may be refused for its tuned version.

    Leave them out of the schema that is sent, and check them afterwards; ftkit's own validation does.
    """

    code = "J008"
    name = "strict-keyword"
    summary = "The schema has a keyword that the host's strict mode refuses."

    def wants(self, setting: Setting) -> str | None:
        strict = any(setting.listed[name][0] in ("openai", "azure") for name in setting.hosted)
        return None if strict and setting.task.output.kind == "json" else ""

    def check(self, whole: Whole) -> Iterator[Found]:
        schema = getattr(whole.setting.task.output, "json_schema", {})
        found = sorted(set(_keywords(schema, "$")))
        for keyword, path in found:
            when = "" if keyword in _NOT_STRICT else " for tuned models"
            yield Found(f"strict mode refuses {keyword!r}{when}", path)


def _keywords(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """Keywords that strict mode refuses, with their places."""
    if isinstance(schema, list):
        for number, item in enumerate(schema):
            yield from _keywords(item, f"{path}[{number}]")
    if not isinstance(schema, dict):
        return
    for name, part in schema.items():
        if name in _NOT_STRICT | _NOT_STRICT_WHEN_TUNED:
            yield name, path
        if name in ("properties", "$defs"):
            for key, inner in part.items():
                yield from _keywords(inner, f"{path}.{key}")
        elif name in ("items", "anyOf", "oneOf", "prefixItems", "additionalProperties"):
            yield from _keywords(part, path)
