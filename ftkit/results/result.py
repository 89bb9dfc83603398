"""The base of every result: how it reaches the renderers that print, show and save it."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ftkit.errors import FtkitError, ReportError
from ftkit.files import write_atomically
from ftkit.printable import printable
from ftkit.registry import Registry

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["RENDERERS", "Renderer", "Result", "forms_of", "suffixes_of"]

Renderer = Callable[[Any], Any]
"""Takes a result; returns text, or for the form ``rich`` what a rich console prints."""

RENDERERS: Registry[Renderer] = Registry(
    "renderer",
    group="ftkit.renderers",
    built_in={
        "report.html": "ftkit.render.pages:report_page",
        "report.markdown": "ftkit.render.markdown:report_markdown",
        "report.text": "ftkit.render.terminal:report_text",
        "report.rich": "ftkit.render.terminal:report_rich",
        "report.notebook": "ftkit.render.pages:report_notebook",
        "comparison.html": "ftkit.render.pages:comparison_page",
        "comparison.markdown": "ftkit.render.markdown:comparison_markdown",
        "comparison.junit": "ftkit.render.junit:junit",
        "comparison.text": "ftkit.render.terminal:comparison_text",
        "comparison.rich": "ftkit.render.terminal:comparison_rich",
        "comparison.notebook": "ftkit.render.pages:comparison_notebook",
        "overview.html": "ftkit.render.pages:overview_page",
        "overview.markdown": "ftkit.render.markdown:overview_markdown",
        "overview.text": "ftkit.render.terminal:overview_text",
        "overview.rich": "ftkit.render.terminal:overview_rich",
        "overview.notebook": "ftkit.render.pages:overview_notebook",
        "curves.html": "ftkit.render.curves:curves_page",
        "curves.svg": "ftkit.render.curves:curves_svg",
        "curves.text": "ftkit.render.curves:curves_text",
        "curves.notebook": "ftkit.render.curves:curves_notebook",
        "metrics.html": "ftkit.render.curves:metrics_page",
        "metrics.markdown": "ftkit.render.curves:metrics_markdown",
        "metrics.csv": "ftkit.render.curves:metrics_csv",
        "metrics.text": "ftkit.render.curves:metrics_text",
        "metrics.notebook": "ftkit.render.curves:metrics_notebook",
        "lint.sarif": "ftkit.render.sarif:sarif",
        "lint.markdown": "ftkit.render.lint:lint_markdown",
        "lint.html": "ftkit.render.lint:lint_page",
        "lint.text": "ftkit.render.lint:lint_text",
        "lint.summary": "ftkit.render.lint:lint_summary",
        "lint.rich": "ftkit.render.lint:lint_rich",
        "lint.notebook": "ftkit.render.lint:lint_notebook",
        "plan.html": "ftkit.render.plan:plan_page",
        "plan.markdown": "ftkit.render.plan:plan_markdown",
        "plan.text": "ftkit.render.plan:plan_text",
        "plan.rich": "ftkit.render.plan:plan_rich",
        "certificate.html": "ftkit.render.certificate:certificate_page",
        "certificate.markdown": "ftkit.render.certificate:certificate_markdown",
        "certificate.text": "ftkit.render.certificate:certificate_text",
        "certificate.rich": "ftkit.render.certificate:certificate_rich",
    },
)
"""Renderers by ``"<result>.<form>"``, for example ``"report.html"``. Four forms are shown and not saved: ``summary``
and ``text`` by ``print``, ``rich`` in a terminal, ``notebook`` (an HTML fragment) in a notebook. Files have the others,
and ``text``."""

_SUFFIXES = {".html": "html", ".md": "markdown", ".xml": "junit", ".sarif": "sarif", ".txt": "text"}
_SHOWN = ("summary", "rich", "notebook")


def forms_of(result_type: str) -> list[str]:
    """List the forms in which results of a type can be saved.

    Args:
        result_type: For example ``"report"``.

    Returns:
        ``"json"`` and the registered forms.
    """
    prefix = f"{result_type}."
    registered = [name.removeprefix(prefix) for name in RENDERERS.names() if name.startswith(prefix)]
    return ["json", *(form for form in registered if form not in _SHOWN)]


def suffixes_of(result_type: str) -> list[str]:
    """List the suffixes of files in which results of a type can be saved.

    Args:
        result_type: For example ``"report"``.

    Returns:
        ``".json"`` and the suffixes of the registered forms. The suffix of a plug-in's form is its name.
    """
    suffix_of = {form: suffix for suffix, form in _SUFFIXES.items()}
    return [suffix_of.get(form, f".{form}") for form in forms_of(result_type)]


class Result:
    """Base of results. ``str`` is the whole text, ``repr`` one line; notebooks show a table."""

    result_type: ClassVar[str] = ""
    """The first part of the names under which renderers of this result are registered."""
    save_error: ClassVar[type[FtkitError]] = ReportError
    """What :meth:`save` raises."""

    @classmethod
    def forms(cls) -> tuple[str, ...]:
        """List the forms in which a result of this type can be saved.

        Returns:
            ``"json"`` and the registered forms: ``"html"``, ``"markdown"`` and others.
        """
        return tuple(forms_of(cls.result_type))

    def render(self, form: str) -> Any:
        """Render the result in one form.

        Args:
            form: One of :meth:`forms`, ``"rich"`` or ``"notebook"``.

        Returns:
            Text; for ``"rich"``, an object that a rich console prints.

        Raises:
            ConfigError: there is no renderer for this form.
        """
        made = self.to_json() if form == "json" else RENDERERS.get(f"{self.result_type}.{form}")(self)
        return printable(made) if isinstance(made, str) else made

    def to_json(self) -> str:
        """Write the complete result as JSON, from which it can be loaded.

        Returns:
            JSON text.
        """
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file in the form that the suffix names.

        Args:
            path: The file. ``.json`` is complete and can be loaded; ``.html`` and ``.md`` are for readers. The form of
                an installed renderer is its own suffix.

        Returns:
            The path.

        Raises:
            ReportError: The suffix names no form of this result, or the file cannot be written.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        form = _SUFFIXES.get(suffix, suffix.removeprefix("."))
        if form not in self.forms():
            known = ", ".join(suffixes_of(self.result_type))
            raise self.save_error(f'{target}: the suffix "{target.suffix}" names no form; use {known}')
        content = self.render(form)
        try:
            write_atomically(target, content)
        except OSError as error:
            raise self.save_error(f"{target}: cannot be written: {error.strerror or error}") from None
        return target

    def _headline(self) -> str:
        return str(self).partition("\n")[0]

    def __str__(self) -> str:
        return printable(str(self.render("text")))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._headline()}>"

    def __rich__(self) -> RenderableType:
        if f"{self.result_type}.rich" in RENDERERS:
            rendered: RenderableType = self.render("rich")
            return rendered
        from rich.text import Text

        return Text(str(self))

    def _repr_html_(self) -> str:
        if f"{self.result_type}.notebook" in RENDERERS:
            return str(self.render("notebook"))
        return f"<pre>{escape(str(self), quote=False)}</pre>"
