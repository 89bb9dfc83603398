"""A server whose disk is full: it says so, answers what need not be stored, and goes on when there is room."""

from __future__ import annotations

from pathlib import Path

import httpx
import openai
import pytest

from tests.disks import filled, small_disk

from .conftest import Running, ended, rows, uploaded


@pytest.mark.slow
def test_a_full_disk_is_said_and_stops_only_what_is_stored(
    tiny_model: str, shared_models: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 32) as home:
        (home / "models").symlink_to(shared_models)
        server = Running(home, "--model", f"tiny={tiny_model}")
        client = server.client()
        file = uploaded(client, rows(12))
        with filled(home):
            health = httpx.get(f"{server.url}/health")
            assert (health.status_code, health.json()["status"]) == (200, "disk_full")
            assert [model.id for model in client.models.list()] == ["tiny"]
            assert client.files.retrieve(file).bytes == len(rows(12))
            assert client.files.content(file).content == rows(12)
            assert client.fine_tuning.jobs.list().data == []
            asked = [{"role": "user", "content": "say 1"}]
            assert client.chat.completions.create(model="tiny", messages=asked, max_tokens=3).choices  # type: ignore[arg-type]
            with pytest.raises(openai.APIStatusError, match="disk is full") as refused:
                uploaded(client, rows(2000))
            assert (refused.value.status_code, refused.value.code) == (507, "disk_full")
            large = {f"key{number}": "x" * 500 for number in range(16)}
            with pytest.raises(openai.APIStatusError, match="disk is full") as refused:
                client.fine_tuning.jobs.create(model="tiny", training_file=file, metadata=large)
            assert (refused.value.status_code, refused.value.code) == (507, "disk_full")
        assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
        job = client.fine_tuning.jobs.create(model="tiny", training_file=file)
        assert ended(client, job.id).status == "succeeded"
        assert [each.id for each in client.fine_tuning.jobs.list()] == [job.id]
        assert server.stop() == 0
