"""A report as HTML: a page of its own, and the fragment that a notebook shows. Everything from a file is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.render.lint.summary import density_lines, headline, message_of
from ftkit.render.markup import Markup, element, joined
from ftkit.render.markup import page as whole_page
from ftkit.results.lint_report import Finding

if TYPE_CHECKING:
    from ftkit.results.lint_report import LintReport, RuleCount

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
    title = f"lint: {', '.join(report.sources)}"
    return whole_page(title, _STYLE, element("h1", title), fragment(report, _SHOWN))


def fragment(report: LintReport, shown: int = 20) -> Markup:
    """Headline, density, the table of rules, and under each rule its first findings, folded."""
    rows = [
        element(
            "tr",
            element("td", f"{count.count:,}"),
            element("td", _code(count)),
            element("td", count.severity),
            element("td", count.summary),
        )
        for count in report.counts
    ]
    return joined(
        [
            element("p", element("b", headline(report))),
            *(element("div", line) for line in density_lines(report)),
            element("table", *rows) if rows else None,
            *(_details(count, report, shown) for count in report.counts),
            *(element("div", element("small", f"Not run: {line}"), class_="quiet") for line in report.skipped),
        ]
    )


def _details(count: RuleCount, report: LintReport, shown: int) -> Markup:
    items = [_item(finding) for finding in report[count.code][:shown]]
    if count.count > shown:
        items.append(element("li", f"… and {count.count - shown:,} more"))
    head = element("summary", _code(count), f" {count.name}: {count.count:,}")
    return element("details", head, element("ul", *items))


def _code(count: RuleCount) -> Markup:
    return element("b", count.code, class_=count.severity)


def _item(finding: Finding) -> Markup:
    related = element("span", f" see {', '.join(finding.related)}", class_="quiet") if finding.related else None
    shown = element("div", element("code", finding.excerpt)) if finding.excerpt else None
    said = f" {message_of(finding.message, finding.path)}"
    return element("li", element("code", finding.place), said, related, shown)
