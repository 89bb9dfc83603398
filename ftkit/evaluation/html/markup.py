"""Building HTML so that nothing from a model or a file can become markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Markup", "document", "element", "joined", "table"]


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


def document(title: str, *body: Piece) -> str:
    """A whole page with ftkit's style and script in it, and the chart library where it is installed.

    Its policy lets it load nothing and run these scripts only.
    """
    import base64
    import hashlib
    from importlib.resources import files

    folder = files("ftkit.evaluation.html")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    inside = joined(body)
    drawn = '<div class="chart"' in inside
    library = chart_library() if drawn else None
    if drawn and library is None:
        note = element("p", 'Charts take plotly: pip install "ftkit[report]".', class_="quiet")
        inside = joined([inside, note])
    scripts = [script] if library is None else [library, script]
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; img-src data:"
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
    )
    run = "".join(f"<script>{one}</script>\n" for one in scripts)
    return f"{head}<body>\n<main>\n{inside}\n</main>\n{run}</body>\n</html>\n"


def chart_library() -> str | None:
    """plotly's script, from the installed package; ``None`` without the extra ``report``."""
    from importlib.util import find_spec
    from pathlib import Path

    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / "package_data" / "plotly.min.js"
    # Inside a page nothing may look like the end of the script.
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script") if path.is_file() else None


def _attribute(key: str, value: str | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return "" if value is False or value is None else f' {name}="{escape(value)}"'
