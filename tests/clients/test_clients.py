"""Today's clients, as their registries give them, against a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.serving import serving
from tests.clients.suites import CLIENTS, Client, run

FOLDER = "FTKIT_CLIENTS"
"""Names the folder where ``python -m tests.clients`` installed the clients."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    with serving(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: Path(client.script).stem)
def test_the_client_works(client: Client, served: tuple[str, str, Path]) -> None:
    installed = Path(os.environ.get(FOLDER, ""))
    if not os.environ.get(FOLDER) or not (client.folder(installed) / "installed").exists():
        pytest.skip(f"{FOLDER} names no folder where {client.name} is installed")
    outcome = run(client, installed, *served)
    assert outcome.passed, outcome.errors or outcome.log
