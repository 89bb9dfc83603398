"""Reports and comparisons as one HTML file that needs nothing else, and as fragments for notebooks."""

from ftkit.render.html.fragment import comparison_fragment, overview_fragment, report_fragment
from ftkit.render.html.pages import comparison_page, overview_page, report_page

__all__ = [
    "comparison_fragment",
    "comparison_page",
    "overview_fragment",
    "overview_page",
    "report_fragment",
    "report_page",
]
