"""``ftkit serve``: OpenAI's fine-tuning API on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import aligned, note, stamp
from ftkit.cli.evaluation_options import Embedder

if TYPE_CHECKING:
    from ftkit.server.auth import ApiKeys

__all__ = ["serve"]

serve = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
keys = typer.Typer(no_args_is_help=True, help="API keys: make, list and revoke them.")
serve.add_typer(keys, name="keys")


@serve.callback()
def _serve(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings in TOML; options go before them.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Where to listen; any but 127.0.0.1 needs API keys.")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="8000 by default; 0 takes a free one.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="[NAME=]MODEL",
            help="A model to serve and to tune: smollm2-135m, a folder, a hub id, or a run. May be given often.",
        ),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="OTHER=NAME", help="Another name for a model. May be given often."),
    ] = None,
    allow_python: Annotated[
        bool,
        typer.Option("--allow-python", help="Let clients send Python graders. Foreign code, run in a sandbox."),
    ] = False,
    embedder: Embedder = None,
) -> None:
    """Serve OpenAI's fine-tuning API from this machine.

    Settings are in docs/serve.md. Ctrl-C ends the server, not the jobs: their processes go on, and the next
    `ftkit serve` finds them.
    """
    if context.invoked_subcommand is not None:
        return
    _check_installed()
    from ftkit.server.http_server import serve as listen
    from ftkit.server.settings import load_settings

    given: dict[str, Any] = {"host": host, "port": port}
    said = {name: value for name, value in given.items() if value is not None}
    if model:
        said["models"] = dict(_pair(one, bare=True) for one in model)
    if alias:
        said["aliases"] = dict(_pair(one) for one in alias)
    reinforcement = ({"allow_python": True} if allow_python else {}) | ({"embedder": embedder} if embedder else {})
    if reinforcement:
        said["reinforcement"] = reinforcement
    settings = load_settings(config, **said)

    def ready(address: str) -> None:
        note(f"ftkit serves {', '.join([*settings.models, *settings.aliases])} at {address}/v1; Ctrl-C ends it")

    listen(settings, ready)


@keys.command()
def create(
    project: Annotated[
        str, typer.Argument(help="Files, jobs and tuned models are seen by keys of the same project only.")
    ] = "default",
) -> None:
    """Make a key, and print it. It is shown this once: the server keeps a digest only."""
    typer.echo(_keys().create(project))


@keys.command("list")
def list_() -> None:
    """The keys there are: id, project, and when they were made."""
    found = _keys().all()
    if not found:
        note("there are no keys, so the server answers this machine only, and asks for none")
    for line in aligned([(key.id, key.project, stamp(key.created_at)) for key in found]):
        typer.echo(line)


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="See `ftkit serve keys list`.")]) -> None:
    """Take a key back. It opens nothing from the next request on."""
    _keys().revoke(key_id)
    note(f"revoked {key_id}")


def _pair(text: str, *, bare: bool = False) -> tuple[str, str]:
    from ftkit.errors import ConfigError

    name, equals, value = text.partition("=")
    if not equals and bare:
        # A folder's own name serves as the model's.
        return (Path(text).name if Path(text).is_dir() else text), text
    if not name or not value:
        raise ConfigError(f"{text!r}: write it as NAME=VALUE")
    return name, value


def _keys() -> ApiKeys:
    _check_installed()
    from ftkit.server.auth import ApiKeys
    from ftkit.server.state import State
    from ftkit.store import Store

    return ApiKeys(State(Store()))


def _check_installed() -> None:
    from ftkit.extras import check_installed

    for package in ("starlette", "uvicorn", "python_multipart"):
        check_installed(package, extra="serve", needed_for="ftkit serve")
