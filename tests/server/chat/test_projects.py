"""What one project asks, no other project can find out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import OpenAI

from ftkit.server.app import create_app
from ftkit.server.auth import ApiKeys

from .conftest import running


@pytest.fixture
def projects(settings, tmp_path, monkeypatch):
    """A client of each of two projects."""
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path))
    app = create_app(settings)
    keys = ApiKeys(app.state.state)
    with running(app) as url:
        made = (keys.create(name) for name in ("one", "two"))
        yield [OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) for key in made]


def cached(client: OpenAI, prompt: str) -> int:
    messages: Any = [{"role": "user", "content": prompt}]
    reply = client.chat.completions.create(model="tiny", messages=messages, temperature=0, max_completion_tokens=4)
    return reply.usage.prompt_tokens_details.cached_tokens


def test_computed_prefixes_are_shared_within_a_project_only(projects):
    secret = "The secret of this project is a number. " * 20
    assert cached(projects[0], f"{secret}a") == 0
    assert cached(projects[1], f"{secret}b") == 0
    assert cached(projects[0], f"{secret}c") > 100
    assert cached(projects[1], f"{secret}d") > 100


def test_and_so_while_they_are_computed(projects):
    """Prompts in one batch are computed together only within a project."""
    secret = "Another secret that both of them ask at once. " * 40
    with ThreadPoolExecutor(8) as pool:
        asked = [(at % 2, pool.submit(cached, projects[at % 2], secret)) for at in range(8)]
        counts = [(project, one.result()) for project, one in asked]
    for project in (0, 1):
        assert sum(count == 0 for owner, count in counts if owner == project) >= 1, counts
