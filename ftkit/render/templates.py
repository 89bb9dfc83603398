"""HTML from Jinja2 templates, which escape every text. Pages load nothing and run only ftkit's own scripts."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ftkit.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["render_fragment", "render_page"]

_PARTS = re.compile(r"[^_:]+[_:]?|[_:]")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ftkit.render"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: str) -> Markup:
    """A name that may be broken after its underscores and colons, so that a narrow column breaks no word."""
    from markupsafe import Markup, escape

    return Markup("").join(
        Markup("{}<wbr>").format(part) if part[-1:] in "_:" else escape(part) for part in _PARTS.findall(name)
    )


@cache
def _asset(name: str) -> str:
    return (files("ftkit.render") / "templates" / name).read_text(encoding="utf-8")


def render_fragment(template: str, **context: Any) -> str:
    """Render a template that is a part of a page.

    Args:
        template: Name of a file in ``ftkit/render/templates``, without ``.html.j2``.
        context: Variables of the template.

    Returns:
        HTML. Control characters of texts are escapes that are seen.
    """
    return printable(_environment().get_template(f"{template}.html.j2").render(context))


def render_page(
    template: str,
    title: str,
    *,
    scripts: Sequence[str] = (),
    connect: bool = False,
    **context: Any,
) -> str:
    """Render a whole page. Its content security policy lets it load nothing and run only its own scripts.

    Args:
        template: Name of a file in ``ftkit/render/templates``, without ``.html.j2``, that extends ``base.html.j2``.
        title: Title of the window.
        scripts: Names of script files in ``ftkit/render/templates``.
        connect: Whether scripts may send requests to the server that the page is from.
        context: Further variables of the template.

    Returns:
        HTML.
    """
    from markupsafe import Markup

    # Files of this package: never text from a model or a file of the user.
    trusted = [Markup(_asset(name)) for name in scripts]  # noqa: S704
    return render_fragment(
        template,
        title=title,
        style=Markup(_asset("style.css")),  # noqa: S704
        scripts=trusted,
        policy=_policy(trusted, connect=connect),
        **context,
    )


def _policy(scripts: Sequence[str], *, connect: bool) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    if hashes:
        policy += "; script-src " + " ".join(f"'sha256-{digest}'" for digest in hashes)
    return policy + ("; connect-src 'self'" if connect else "")
