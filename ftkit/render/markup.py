"""Building HTML so that nothing from a model or a file can become markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Markup", "Piece", "element", "joined", "page", "table"]


class Markup(str):
    """A piece of finished HTML. Plain strings are text and get escaped when they go into an element."""

    __slots__ = ()


Piece = str | Markup | None


def element(name: str, *content: Piece, **attributes: str | bool | None) -> Markup:
    """``<name …>content</name>``; ``None`` content and false attributes are left out.

    Attributes: ``_`` becomes ``-``, and ``class_`` is ``class``.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    inside = joined(content)
    return Markup(f"<{name}{written}>{inside}</{name}>")


def joined(pieces: Iterable[Piece]) -> Markup:
    """The pieces one after the other, text escaped."""
    return Markup("".join(str(p) if isinstance(p, Markup) else escape(p, quote=False) for p in pieces if p is not None))


def table(header: Sequence[Piece], rows: Iterable[Sequence[Piece]], class_: str) -> Markup:
    """A table that scrolls sideways by itself where the screen is narrow; the first cell of a row is its head."""
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    whole = element("table", element("thead", head), element("tbody", *body), class_=class_)
    return element("div", whole, class_="scroll", tabindex="0")


def page(title: str, style: str, *body: Piece, scripts: Sequence[str] = (), connects: bool = False) -> str:
    """A whole page whose policy lets it load nothing and run these scripts only.

    Args:
        title: of the window.
        style: CSS. It and the scripts go in as they are: nothing from a model or a file belongs there.
        body: what is in the page.
        scripts: run after the body.
        connects: whether the scripts may ask the server that the page is from.
    """
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = "".join(f" 'sha256-{digest}'" for digest in digests)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:" + (
        f"; script-src{allowed}" if allowed else ""
    )
    if connects:
        policy += "; connect-src 'self'"
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'  # a browser asks for one otherwise, and complains that it may not
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
    )
    run = "".join(f"<script>{one}</script>\n" for one in scripts)
    return f"{head}<body>\n<main>\n{joined(body)}\n</main>\n{run}</body>\n</html>\n"


def _attribute(key: str, value: str | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return "" if value is False or value is None else f' {name}="{escape(value)}"'
