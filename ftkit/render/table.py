"""Tables and lines of text: defined once, then written as plain text, for a rich console, as Markdown or as HTML.

HTML is written by the macro ``table`` in ``templates/macros.html.j2``, from the same objects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftkit.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable

    from ftkit.render.drawings import Drawing

__all__ = [
    "Cell",
    "Column",
    "Line",
    "Row",
    "Table",
    "escape_markdown",
    "markdown_list",
    "to_rich",
    "to_text",
]

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~$])")
_MAX_MARKDOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: Text of the header.
        align: Side to which text, rich and Markdown align the cells.
        wrap: Whether a rich console may wrap the cells.
        html_only: Whether only HTML has the column: for drawings.
    """

    title: str = ""
    align: Literal["left", "right"] = "left"
    wrap: bool = False
    html_only: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with more than text. What is not text shows in rich consoles (``style``) or in HTML (the others).

    Attributes:
        text: The text.
        style: Style in a rich console.
        css: CSS classes in HTML.
        note: Small text below, in HTML.
        mark: Text that follows in all forms but HTML, where ``css`` marks the cell.
        href: Target of a link in HTML. Never from a model or a file.
        share: Percentage from 0 to 100 that shades the cell in HTML.
        drawing: Drawing instead of the text, in HTML.
        show: Rows that the text links to in HTML, as the page's script reads it; see :mod:`ftkit.render.row_facets`.
    """

    text: str = ""
    style: str = ""
    css: str = ""
    note: str = ""
    mark: str = ""
    href: str = ""
    share: int | None = None
    drawing: Drawing | None = None
    show: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        cells: One for each column.
        bold: Whether rich consoles show the row in bold.
    """

    cells: Sequence[str | Cell]
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text.

    Attributes:
        parts: Texts, or pairs of a text and its style in a rich console.
    """

    parts: Sequence[str | tuple[str, str]]

    @classmethod
    def of(cls, text: str, style: str = "") -> Line:
        """Make a line of one text.

        Args:
            text: The text.
            style: Its style in a rich console.

        Returns:
            The line.
        """
        return cls([(text, style)])

    def text(self) -> str:
        """Write the line as plain text.

        Returns:
            The text.
        """
        return "".join(printable(part if isinstance(part, str) else part[0]) for part in self.parts)


class Table:
    """Rows under columns.

    Args:
        columns: Column titles, or columns.
        rows: Rows, or sequences of cells.
        header: Whether text and rich consoles show the titles.
    """

    def __init__(
        self, columns: Sequence[str | Column], rows: Sequence[Row | Sequence[str | Cell]], *, header: bool = True
    ) -> None:
        self.columns = [column if isinstance(column, Column) else Column(column) for column in columns]
        self.rows = [row if isinstance(row, Row) else Row(row) for row in rows]
        self.header = header

    def texts(self) -> list[list[str]]:
        """Return the texts of all cells, without the columns that only HTML has.

        Returns:
            One list for each row, the header first.
        """
        shown = self._shown()
        rows = [[_text(row.cells[index]) for index in shown] for row in self.rows]
        return [[printable(self.columns[index].title) for index in shown], *rows] if self.header else rows

    def lines(self) -> list[str]:
        """Write the table as plain text.

        Returns:
            One text for each row, the header first; columns are two spaces apart.
        """
        rows = self.texts()
        right = [self.columns[index].align == "right" for index in self._shown()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in rows
        ]

    def rich(self) -> RichTable:
        """Build the table for a rich console.

        Returns:
            A ``rich.table.Table``.
        """
        from rich.table import Table as RichTable
        from rich.text import Text

        shown = self._shown()
        table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=self.header)
        for index in shown:
            column = self.columns[index]
            table.add_column(
                Text(printable(column.title)), justify=column.align, overflow="fold", no_wrap=not column.wrap
            )
        for row in self.rows:
            cells = [row.cells[index] for index in shown]
            table.add_row(
                *(Text(_text(cell), style=cell.style if isinstance(cell, Cell) else "") for cell in cells),
                style="bold" if row.bold else None,
            )
        return table

    def markdown(self) -> str:
        """Write the table as Markdown. Special characters are escaped and long cells cut.

        Returns:
            Lines of Markdown.
        """
        rule = ["---:" if self.columns[index].align == "right" else "---" for index in self._shown()]
        header, *rows = ([escape_markdown(_cut(text)) for text in row] for row in self.texts())
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))

    def _shown(self) -> list[int]:
        return [index for index, column in enumerate(self.columns) if not column.html_only]


def to_text(blocks: Sequence[Line | Table]) -> str:
    """Write lines and tables as plain text.

    Args:
        blocks: Lines and tables, in order.

    Returns:
        The text.
    """
    lines: list[str] = []
    for block in blocks:
        lines += [block.text()] if isinstance(block, Line) else block.lines()
    return "\n".join(lines)


def to_rich(blocks: Sequence[Line | Table]) -> RenderableType:
    """Build lines and tables for a rich console.

    Args:
        blocks: Lines and tables, in order.

    Returns:
        A ``rich.console.Group``.
    """
    from rich.console import Group
    from rich.text import Text

    def text(line: Line) -> Text:
        return Text.assemble(
            *(printable(part) if isinstance(part, str) else (printable(part[0]), part[1]) for part in line.parts)
        )

    return Group(*(text(block) if isinstance(block, Line) else block.rich() for block in blocks))


def escape_markdown(text: str) -> str:
    """Write a text as Markdown that shows just this text, on one line, inside a table's cell too.

    Args:
        text: The text.

    Returns:
        Markdown.
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def markdown_list(lines: Sequence[str]) -> str:
    """Write texts as a list in Markdown.

    Args:
        lines: The texts.

    Returns:
        Markdown.
    """
    return "\n".join(f"- {escape_markdown(line)}" for line in lines)


def _text(cell: str | Cell) -> str:
    return printable(cell if isinstance(cell, str) else cell.text + cell.mark)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_MARKDOWN_CHARACTERS else text[:_MAX_MARKDOWN_CHARACTERS] + "…"
