"""The application with all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from ftkit.cli.catalog import catalog
from ftkit.cli.compare import compare
from ftkit.cli.console import out, print_warnings
from ftkit.cli.convert import convert
from ftkit.cli.data import data
from ftkit.cli.error_handling import ErrorHandlingGroup
from ftkit.cli.evaluate import evaluate
from ftkit.cli.export import export
from ftkit.cli.freeze import freeze
from ftkit.cli.grade import grade, reward_signal
from ftkit.cli.job_import import import_
from ftkit.cli.lint import lint
from ftkit.cli.migrate import migrate
from ftkit.cli.optimise_prompt import optimise_prompt
from ftkit.cli.overview import overview
from ftkit.cli.plan import plan
from ftkit.cli.plugins import plugins
from ftkit.cli.predict import predict
from ftkit.cli.report import report
from ftkit.cli.runs import runs
from ftkit.cli.serve import serve
from ftkit.cli.sweep import sweep
from ftkit.cli.task import task
from ftkit.cli.train import train
from ftkit.version import __version__

__all__ = ["app"]

app = typer.Typer(
    cls=ErrorHandlingGroup,
    no_args_is_help=True,
    # Help formatted by rich takes three times as long.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        out(f"ftkit {__version__}")
        raise typer.Exit


@app.callback()
def _ftkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fine-tune language models: declare a task once, train on any backend, and evaluate the same way everywhere."""
    print_warnings("ftkit")


app.command()(task)
app.add_typer(data, name="data")
app.command()(lint)
app.command()(grade)
app.command("reward-signal")(reward_signal)
app.command()(plan)
app.command()(train)
app.command()(evaluate)
app.command("optimise-prompt")(optimise_prompt)
app.command()(sweep)
app.command()(freeze)
app.command()(compare)
app.command()(overview)
app.command()(report)
app.command()(convert)
app.command()(predict)
app.command()(export)
app.add_typer(runs, name="runs")
app.add_typer(serve, name="serve")
app.add_typer(catalog, name="catalog")
app.command("import")(import_)
app.command()(migrate)
app.command()(plugins)
