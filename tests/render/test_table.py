"""One table in four forms."""

from __future__ import annotations

import io

from rich.console import Console

from ftkit.render.table import Cell, Column, Line, Row, Table, to_rich, to_text
from ftkit.render.templates import render_fragment

TABLE = Table(
    ["name", Column("drawn", html_only=True), Column("value", "right")],
    [
        Row([Cell("exact", mark=" *", css="strong", note="a <note>"), Cell(css="x"), "1.0"], bold=True),
        ["<b>|`", "", Cell("12.5", css="badge worse", style="red")],
    ],
)


def test_text_aligns_columns() -> None:
    assert to_text([Line.of("title"), TABLE]).splitlines() == [
        "title",
        "name     value",
        "exact *    1.0",
        "<b>|`     12.5",
    ]
    assert Table(["a", "b"], [["x", "y"]], header=False).lines() == ["x  y"]


def test_markdown_escapes_cells() -> None:
    assert TABLE.markdown().splitlines() == [
        "| name | value |",
        "| --- | ---: |",
        r"| exact \* | 1.0 |",
        r"| \<b\>\|\` | 12.5 |",
    ]


def test_a_rich_console_shows_the_text_of_cells() -> None:
    console = Console(file=io.StringIO(), width=60)
    console.print(to_rich([TABLE, Line([("a", "bold"), "[b]"])]))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().split()
    assert shown == ["name", "value", "exact", "*", "1.0", "<b>|`", "12.5", "a[b]"]


def test_html_escapes_cells_and_has_every_column() -> None:
    html = render_fragment("server_jobs", jobs=TABLE)
    assert html.count('<th scope="col">') == 3
    assert '<span class="strong">exact</span><small>a &lt;note&gt;</small>' in html
    assert "&lt;b&gt;|`" in html
    assert '<span class="badge worse" dir="auto">12.5</span>' in html
