"""ftkit as a client of its own server: the run there is the run here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft

from .conftest import Running

TASK = ft.Task("Say it.", input="{q}", output=dict[str, int])


@pytest.mark.slow
def test_a_run_at_the_server_is_the_local_run(server: Running, tiny_model: str, tmp_path: Path) -> None:
    data = ft.Dataset.from_rows([{"q": f"what is {n}", "a": {"n": n}} for n in range(20)], TASK, target="a")
    train, validation = data.split(test=4, seed=1)
    recipe = ft.SFT(epochs=2, batch_size=4, seed=5)
    there = ft.train(
        recipe, train, validation=validation, backend=ft.OpenAI("tiny", base_url=f"{server.url}/v1", api_key="none")
    )
    here = ft.train(recipe, train, validation=validation, backend=f"local:{tiny_model}").wait(progress=False)
    there.wait(progress=False)
    job = there.record.summary["tuned_model"]
    assert job.startswith("ft:tiny:acme:ftkit-")  # the key of the run is the suffix
    folder = server.home / "runs" / there.record.handle["job"] / "model"
    records = [json.loads((one / "ftkit.json").read_text()) for one in (folder, here.folder / "model")]
    assert records[0]["recipe"] == records[1]["recipe"]
    assert records[0]["template_hash"] == records[1]["template_hash"]
    adapters = [(one / "adapter_model.safetensors").read_bytes() for one in (folder, here.folder / "model")]
    assert adapters[0] == adapters[1]
    assert [one["loss"] for one in there.metrics] == [round(one["loss"], 6) for one in here.metrics]
    looks = [
        [e.data["loss"] for e in run.events() if e.kind == "validation" and e.data["step"]] for run in (there, here)
    ]
    assert looks[0] == [round(loss, 6) for loss in looks[1]]
