"""Results that people look at: in full when printed, one line among other values, as a block in a notebook."""

from __future__ import annotations

from ftkit.render.markup import element

__all__ = ["Shown"]


class Shown:
    """Base of results whose ``str`` is a text of several lines."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._headline()}>"

    def _headline(self) -> str:
        return str(self).partition("\n")[0]

    def _repr_html_(self) -> str:
        return element("pre", str(self))
