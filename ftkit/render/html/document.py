"""The page that reports share: ftkit's style and script, and the chart library where it is installed."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from ftkit.render.markup import Piece, element, joined, page

__all__ = ["document"]


def document(title: str, *body: Piece) -> str:
    """A whole page with ftkit's style and script in it, and the chart library where it is installed."""
    folder = files("ftkit.render.html")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    inside = joined(body)
    drawn = '<div class="chart"' in inside
    library = chart_library() if drawn else None
    if drawn and library is None:
        note = element("p", 'Charts take plotly: pip install "ftkit[report]".', class_="quiet")
        inside = joined([inside, note])
    return page(title, style, inside, scripts=[script] if library is None else [library, script])


def chart_library() -> str | None:
    """plotly's script, from the installed package; ``None`` without the extra ``report``."""
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations))) / "package_data" / "plotly.min.js"
    # Inside a page nothing may look like the end of the script.
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script") if path.is_file() else None
