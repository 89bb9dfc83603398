"""``ftkit plugins``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import fail, json_text, out, table_lines

if TYPE_CHECKING:
    from ftkit.registry import Registry

__all__ = ["plugins"]

_REGISTRIES = {
    "losses": "ftkit.recipe.losses:LOSSES",
    "adapters": "ftkit.recipe.adapters.base:ADAPTERS",
    "rollouts": "ftkit.recipe.rollout_engines:ROLLOUTS",
    "backends": "ftkit.backends.registry:BACKENDS",
    "engines": "ftkit.backends.engines:ENGINES",
    "hosts": "ftkit.backends.registry:HOSTS",
    "formats": "ftkit.data.formats.registry:FORMATS",
    "sources": "ftkit.data.sources.registry:SOURCES",
    "metrics": "ftkit.evaluation.metrics.registry:METRICS",
    "comparators": "ftkit.schema.comparators:COMPARATORS",
    "lint_rules": "ftkit.linting.registry:lint_rules",
    "graders": "ftkit.graders.registry:GRADERS",
    "trackers": "ftkit.runs.trackers.registry:TRACKERS",
    "renderers": "ftkit.results.result:RENDERERS",
    "interchange": "ftkit.interchange.form:FORMS",
}
"""Registries by the kind that follows ``ftkit.`` in the name of their entry-point group."""


def plugins(
    kind: Annotated[str, typer.Argument(help=f"Only one kind: {', '.join(_REGISTRIES)}.")] = "",
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered extensions and their packages.

    These are ftkit's own losses, adapters, backends, hosts, formats, metrics, lint rules, graders, trackers and others,
    and those that installed packages add. The exit status is 1 if an object of a package cannot be loaded.
    """
    from ftkit.errors import ConfigError

    if kind and kind not in _REGISTRIES:
        raise ConfigError(f"there is no kind {kind!r}; known: {', '.join(_REGISTRIES)}")
    entries = [entry for name in ([kind] if kind else _REGISTRIES) for entry in _entries(name)]
    if json:
        out(json_text(entries))
    else:
        rows = [(entry["kind"], entry["name"], entry["package"]) for entry in entries]
        for line in table_lines(("KIND", "NAME", "PACKAGE"), rows):
            out(line)
    broken = [entry for entry in entries if entry["error"] is not None]
    for entry in broken:
        fail(entry["error"])
    if broken:
        raise typer.Exit(1)


def _entries(kind: str) -> list[dict[str, Any]]:
    module, _, attribute = _REGISTRIES[kind].partition(":")
    registry: Registry[Any] = getattr(import_module(module), attribute)
    return [
        {"kind": kind, "name": name, "package": registry.origin(name), "error": _error(registry, name)}
        for name in registry.names()
    ] + [
        {"kind": kind, "name": name, "package": package, "error": reason}
        for name, package, reason in registry.clashes()
    ]


def _error(registry: Registry[Any], name: str) -> str | None:
    """Load an object of another package; return why it cannot be loaded, or None."""
    from ftkit.errors import ConfigError

    if registry.origin(name) == "ftkit":
        return None
    try:
        registry.find(name)
    except ConfigError as error:
        return str(error)
    return None
