"""H: limits of the named hosts, from the catalogue of their documentation; and J008, strict schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from ftkit.catalog import HostedModel, Limits, days_until, load_catalog
from ftkit.catalog.facts import Method
from ftkit.counts import counted
from ftkit.data.row_reader import RowKind
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import CorpusRule, RowRule, Rule

_METHODS: dict[RowKind, Method] = {
    "demonstrations": "sft",
    "preferences": "dpo",
    "unpaired_preferences": "kto",
    "prompts": "rft",
    "texts": "cpt",
}
"""The training method for rows of each kind."""

_CHARACTERS_PER_TOKEN = 4
"""Roughly, in English text."""


def _hosts(context: LintContext) -> list[tuple[str, Limits | None, HostedModel | None]]:
    """The named hosts, with their limits for rows of this kind and the listed facts of the model."""
    catalog = load_catalog()
    method = _METHODS[context.kind]
    hosts = []
    for name in context.hosted_backends:
        provider, model = context.catalog_names[name]
        hosts.append((name, catalog.limits(provider, method), catalog.model(provider, model)))
    return hosts


class _HostRule(Rule):
    """A rule on hosted backends that the catalogue lists."""

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        if not context.hosted_backends:
            return ""
        known = any(limits or model for _, limits, model in _hosts(context))
        return None if known else f"the catalogue knows nothing of {', '.join(context.hosted_backends)}"


class HostRows(_HostRule, CorpusRule):
    """The host does not accept a file with so few or so many rows.

    The host's documentation gives a minimum or maximum number of rows that the file does not meet.

    Collect or delete rows. ``ftkit catalog`` shows the limits, their sources and their dates.
    """

    code = "H001"
    name = "host-rows"
    severity = "error"
    needs_features = False

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        for name, limits, _ in _hosts(corpus.context):
            objection = None if limits is None else limits.rows_refused(corpus.context.rows["train"])
            if objection is not None:
                yield RuleFinding(f"{name} takes {objection} (see `ftkit catalog`)")


class HostFileSize(_HostRule, CorpusRule):
    """The files are larger than the host accepts.

    The files are larger than the host accepts. ftkit writes the uploaded file anew, without columns that are not
    sent, so the size is an estimate.

    Use fewer or shorter rows.
    """

    code = "H002"
    name = "host-file-size"
    needs_features = False

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        size = corpus.training_bytes
        for name, limits, _ in _hosts(corpus.context):
            maximum = None if limits is None else limits.max_upload_bytes or limits.max_file_bytes
            if maximum is not None and size > maximum:
                sizes = f"up to {maximum / 1e6:,.0f} MB; the rows have about {size / 1e6:,.0f}"
                yield RuleFinding(f"{name} takes {sizes} (see `ftkit catalog`)")


class HostContext(_HostRule, RowRule):
    """The row is longer than the host's training context.

    The row is longer than the host's training context. Hosts truncate such rows, and the answer at the end is lost.
    Counted as four characters a token, and reported from twice the limit, because the count is rough.

    Shorten the row or delete it.
    """

    code = "H003"
    name = "host-context"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        tokens = len(view.all_text) // _CHARACTERS_PER_TOKEN
        if tokens < 4_096:  # no host's limit is lower, and looking it up is slow
            return
        for name, _, model in _hosts(context):
            if model is not None and model.training_context is not None and tokens > 2 * model.training_context:
                yield RuleFinding(
                    f"about {tokens:,} tokens, and {name} trains on {model.training_context:,} ({model.source})"
                )


class HostImages(_HostRule, RowRule):
    """The row contains images that the host does not accept.

    The row contains images, and the model is tuned on text only, or accepts fewer images a row. The host refuses the
    file.

    Choose a model that can be tuned on images (``ftkit catalog``), or remove the images.
    """

    code = "H004"
    name = "host-images"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        images = sum(
            part["type"] != "text"
            for turn in view.messages
            if isinstance(turn.get("content"), list)
            for part in turn["content"]
        )
        if not images:
            return
        for name, limits, model in _hosts(context):
            if model is not None and "image" not in model.inputs:
                yield RuleFinding(f"{counted(images, 'image')}, and {name} is tuned on text only ({model.source})")
            elif limits is not None and limits.max_images_per_row is not None and images > limits.max_images_per_row:
                maximum = limits.max_images_per_row
                yield RuleFinding(f"{images} images, and {name} takes {maximum} a row (see `ftkit catalog`)")


class HostMethod(_HostRule, CorpusRule):
    """The host does not tune this model on such rows, or no longer does.

    The host does not tune this model on rows of this kind (usually preferences), or no longer accepts jobs for it.
    The catalogue holds what is known of the model, with source and date.

    Choose another model or host: ``ftkit catalog`` lists what each one tunes, and until when.
    """

    code = "H005"
    name = "host-method"
    severity = "error"
    needs_features = False

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        method = _METHODS[corpus.context.kind]
        for name, _, model in _hosts(corpus.context):
            if model is not None and method not in model.methods:
                methods = ", ".join(model.methods) or "no method"
                yield RuleFinding(f"{name} is tuned by {methods}, not by {method} ({model.source})")
            closes = load_catalog().training_closes(*corpus.context.catalog_names[name])
            if closes is not None and days_until(closes.on) < 0:
                yield RuleFinding(f"{name} takes no jobs since {closes.on} ({closes.source})")


_NEVER_STRICT = {
    *("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "patternProperties"),
    *("unevaluatedProperties", "propertyNames", "minProperties", "maxProperties", "unevaluatedItems", "contains"),
    *("minContains", "maxContains", "uniqueItems"),
}
_NOT_STRICT_IF_TUNED = {
    *("minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minItems", "maxItems"),
}


class StrictKeyword(CorpusRule):
    """The schema has a keyword that the host's strict mode refuses.

    The schema has keywords that the strict mode of OpenAI and Azure refuses: some for all models, and for tuned
    models also lengths, patterns and ranges (https://platform.openai.com/docs/guides/structured-outputs, "supported
    schemas"). A schema that works with a base model may be refused for its tuned version.

    Remove them from the schema that is sent, and validate them afterwards, as ftkit does.
    """

    code = "J008"
    name = "strict-keyword"
    needs_features = False

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        strict = any(context.catalog_names[name][0] in ("openai", "azure") for name in context.hosted_backends)
        return None if strict and context.task.output.kind == "json" else ""

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        schema = getattr(corpus.context.task.output, "json_schema", {})
        for keyword, path in sorted(set(_refused_keywords(schema, "$"))):
            when = "" if keyword in _NEVER_STRICT else " for tuned models"
            yield RuleFinding(f"strict mode refuses {keyword!r}{when}", path)


def _refused_keywords(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """Keywords that strict mode refuses, with their paths."""
    if isinstance(schema, list):
        for number, item in enumerate(schema):
            yield from _refused_keywords(item, f"{path}[{number}]")
    if not isinstance(schema, dict):
        return
    for name, part in schema.items():
        if name in _NEVER_STRICT | _NOT_STRICT_IF_TUNED:
            yield name, path
        if name in ("properties", "$defs"):
            for key, inner in part.items():
                yield from _refused_keywords(inner, f"{path}.{key}")
        elif name in ("items", "anyOf", "oneOf", "prefixItems", "additionalProperties"):
            yield from _refused_keywords(part, path)
