"""``ftkit serve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import note, out, table_lines, timestamp
from ftkit.cli.evaluation_options import Embedder
from ftkit.cli.model_options import EngineName

if TYPE_CHECKING:
    from ftkit.server.auth import ApiKeys

__all__ = ["serve"]

serve = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
keys = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")
serve.add_typer(keys, name="keys")


@serve.callback()
def _serve(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings (TOML). Options take precedence.")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Address to listen on; any other than 127.0.0.1 requires API keys."),
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="Port; 0 selects a free one [default: 8000]")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="[NAME=]MODEL",
            help="Model to serve and fine-tune: smollm2-135m, a folder, a hub id, or the id of a run. Repeatable.",
        ),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="OTHER=NAME", help="Additional name of a model. Repeatable."),
    ] = None,
    allow_python: Annotated[
        bool,
        typer.Option("--allow-python", help="Allow clients to send Python graders, which run in a sandbox."),
    ] = False,
    embedder: Embedder = None,
    engine: EngineName = None,
) -> None:
    """Serve OpenAI's fine-tuning API on this machine.

    docs/serve.md lists the settings. Ctrl-C stops the server, not the jobs: their processes continue, and the next
    `ftkit serve` follows them.
    """
    if context.invoked_subcommand is not None:
        return
    _check_installed()
    from ftkit.server.http_server import serve as run_server
    from ftkit.server.settings import load_settings

    options: dict[str, Any] = {"host": host, "port": port}
    overrides = {name: value for name, value in options.items() if value is not None}
    if model:
        overrides["models"] = dict(_pair(item, bare=True) for item in model)
    if alias:
        overrides["aliases"] = dict(_pair(item) for item in alias)
    reinforcement = ({"allow_python": True} if allow_python else {}) | ({"embedder": embedder} if embedder else {})
    if engine:
        overrides["engine"] = {"kind": engine}  # beside the engine's settings in the file
    if reinforcement:
        overrides["reinforcement"] = reinforcement
    settings = load_settings(config, **overrides)

    def ready(address: str) -> None:
        note(f"serving {', '.join([*settings.models, *settings.aliases])} at {address}/v1; press Ctrl-C to stop")

    run_server(settings, ready)


@keys.command()
def create(
    project: Annotated[
        str,
        typer.Argument(help="Project of the key. Files, jobs and fine-tuned models are visible only in their project."),
    ] = "default",
) -> None:
    """Create a key and print it. It cannot be shown again: the server stores only a digest."""
    out(_keys().create(project))


@keys.command("list")
def list_() -> None:
    """List the keys with id, project and creation time."""
    stored_keys = _keys().all()
    if not stored_keys:
        note("no keys; the server accepts requests from this machine only, without a key")
        return
    rows = [(key.id, key.project, timestamp(key.created_at)) for key in stored_keys]
    for line in table_lines(("ID", "PROJECT", "CREATED"), rows, header=False):
        out(line)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, see `ftkit serve keys list`.")],
) -> None:
    """Revoke a key. It is refused from the next request on."""
    _keys().revoke(key_id)
    note(f"revoked {key_id}")


def _pair(text: str, *, bare: bool = False) -> tuple[str, str]:
    from ftkit.errors import ConfigError

    name, equals, value = text.partition("=")
    if not equals and bare:
        # The name of a folder is the name of its model.
        return (Path(text).name if Path(text).is_dir() else text), text
    if not name or not value:
        raise ConfigError(f"{text!r}: expected NAME=VALUE")
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
