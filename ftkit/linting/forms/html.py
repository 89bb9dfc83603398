"""A report as HTML: a page of its own, and the fragment that a notebook shows. Everything from a file is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from ftkit.linting.forms.summary import density_lines, headline, message_of

if TYPE_CHECKING:
    from ftkit.linting.report import LintReport

__all__ = ["fragment", "page"]

_STYLE = """\
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
td:first-child{text-align:right;font-variant-numeric:tabular-nums}
code{font-size:.9em;overflow-wrap:anywhere}.quiet{opacity:.7}
.error{color:#c62828}.warning{color:#b26a00}.info{color:#00708a}
details{margin:.6rem 0}summary{cursor:pointer}li{margin:.3rem 0}
"""
_SHOWN = 100


def page(report: LintReport) -> str:
    """A whole page, with the first hundred findings of each rule. It loads nothing and runs nothing."""
    title = escape(f"lint: {', '.join(report.sources)}")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f"{fragment(report)}\n{''.join(_details(report))}</body>\n</html>\n"
    )


def fragment(report: LintReport) -> str:
    """Headline, density and the table of rules."""
    rows = [
        f'<tr><td>{count.count:,}</td><td><b class="{count.severity}">{escape(count.code)}</b></td>'
        f"<td>{escape(count.severity)}</td><td>{escape(count.summary)}</td></tr>"
        for count in report.counts
    ]
    notes = [f'<div class="quiet"><small>Not run: {escape(line)}</small></div>' for line in report.skipped]
    table = f"<table>{''.join(rows)}</table>" if rows else ""
    said = "".join(f"<div>{escape(line)}</div>" for line in density_lines(report))
    return f"<p><b>{escape(headline(report))}</b></p>{said}{table}{''.join(notes)}"


def _details(report: LintReport) -> Iterable[str]:
    for count in report.counts:
        items = []
        for finding in report[count.code][:_SHOWN]:
            shown = f"<br><code>{escape(finding.excerpt)}</code>" if finding.excerpt else ""
            also = f' <span class="quiet">see {escape(", ".join(finding.related))}</span>' if finding.related else ""
            said = escape(message_of(finding.message, finding.path))
            items.append(f"<li><code>{escape(finding.place)}</code> {said}{also}{shown}</li>")
        more = f"<li>… and {count.count - _SHOWN:,} more</li>" if count.count > _SHOWN else ""
        head = f'<b class="{count.severity}">{escape(count.code)}</b> {escape(count.name)}: {count.count:,}'
        yield f"<details><summary>{head}</summary><ul>{''.join(items)}{more}</ul></details>\n"
