"""Text that a terminal shows and does not obey.

Hosts, models and files write texts that ftkit prints. A control character in one of them may move the cursor, change
the colours, hide text, set the window's title or make the terminal type a command (``ESC [``, ``ESC ]``), and a
bidirectional control may reorder what is read (CVE-2021-42574). Everything that ftkit prints passes :func:`printable`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["USER_PATTERN", "printable", "public_address", "rich_console"]

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")
"""Control characters but tab, line feed and the end of a line in files of Windows; bidirectional controls; halves of
characters, which cannot be written."""

USER_PATTERN = re.compile(r"://[^/\s@?#]{1,500}@")
"""User name and password of an address, as a proxy's may have."""
_PARAMETERS_PATTERN = re.compile(r"(?<=://)([^\s?#]{1,4000})\?[^\s#]*")


def printable(text: str) -> str:
    r"""Replace control characters by their escapes.

    Args:
        text: any text.

    Returns:
        The text with ``\u001b`` in place of an escape character, and so on. JSON stays the same JSON.
    """
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def public_address(text: str) -> str:
    """Remove user names, passwords and parameters from the addresses in a text.

    Args:
        text: an address, or a text with addresses in it.

    Returns:
        The text, whose addresses still lead to the same place for who may go there.
    """
    return _PARAMETERS_PATTERN.sub(r"\1", USER_PATTERN.sub("://", text))


def rich_console(**options: Any) -> Console:
    """Create a rich console that prints printable text only.

    Args:
        **options: options of ``rich.console.Console``.

    Returns:
        The console.
    """
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PrintableConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return PrintableConsole(**options)
