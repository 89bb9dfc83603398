"""Answers from replicas on a cluster."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends.ray import answer_channel, answering, replicas
from ftkit.backends.ray.answering import Replica, serve
from ftkit.backends.ray.cluster import Cluster
from ftkit.backends.ray.jobs_api import JobStatus, RunHandle
from ftkit.backends.ray.object_store import ObjectStore
from ftkit.backends.ray.replicas import Replicas
from ftkit.backends.remote.answerer import RemoteAnswerer
from ftkit.backends.remote.messages import answer_to_wire
from ftkit.results.answer import Answer
from tests.ray.test_runs import cluster, processes
from tests.runs.test_runs import ROWS, TASK, until


class _LostError(Exception):
    """An actor has died."""


class _Actor:
    """A replica in this process, with the parts of Ray's handle that are used. It is lost once, after a part.

    Then it starts again, during which every call is refused at once.
    """

    def __init__(self, loses: bool) -> None:
        self._replica, self._loses, self._refuses = Replica.__new__(Replica), loses, 0
        self._replica._storage = "/shared"
        self.is_ready = self.run = self
        self._remote: Any = None

    def options(self, num_returns: str) -> _Actor:
        assert num_returns == "streaming"
        return self

    def remote(self, *asked: Any) -> Any:
        if not asked and self._refuses:
            self._refuse()
        return self._parts(*asked) if asked else True

    def _refuse(self) -> None:
        self._refuses -= 1
        raise _LostError("the actor is restarting")

    def _parts(self, name: str, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if self._refuses:
            self._refuse()
        for part in self._replica.run(name, arguments):
            yield part
            if self._loses:
                self._loses, self._refuses = False, 6
                raise _LostError("killed")


def _answer(model: str, requests: list[Any], numbers: list[int], sampling: dict[str, Any], tell: Any) -> None:
    if model == "broken":
        raise ft.ModelError("there is no such model")
    for number, request in zip(numbers, requests, strict=True):
        text = f"{model} {request['messages'][0]['content']} {number} {sampling['seed']}"
        tell([number, answer_to_wire(Answer(text, None, "stop", 1, 1, 0.0))])


@pytest.fixture(params=["folder", "store"])
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replicas]:
    """Three replicas in threads of this process, one of which is lost once. The storage is a folder or a store."""
    if request.param == "store":
        pytest.importorskip("pyarrow", reason='needs pip install "ftkit[ray]"')
        monkeypatch.setattr(answer_channel._Objects, "poll_s", 0.05)
    from ftkit.backends.remote import model_calls

    monkeypatch.setattr(answering, "_RESTART_POLL_S", 0.01)
    monkeypatch.setattr(model_calls, "answer", _answer)
    monkeypatch.setattr(model_calls, "about", lambda model, tell: {"model": model})

    def submit(name: str, handle: RunHandle, command: str, variables: dict[str, str]) -> None:
        storage, job = command.split("ftkit.backends.ray.answering ")[1].split()[:2]
        assert job == name
        actors = [_Actor(loses=number == 0) for number in range(3)]
        threading.Thread(
            target=serve,
            args=(answer_channel.answer_channel(storage, job), actors, _LostError, lambda value: value),
            daemon=True,
        ).start()

    monkeypatch.setattr(replicas, "submit_job", submit)
    monkeypatch.setattr(replicas, "job_environment", lambda storage: {})
    monkeypatch.setattr(replicas, "stop_job", lambda name, handle: None)
    monkeypatch.setattr(replicas, "job_status", lambda name, handle: JobStatus("ended"))
    monkeypatch.setattr(replicas, "_STATUS_S", 1000.0)
    storage = tmp_path.as_uri() if request.param == "store" else str(tmp_path)
    made = Replicas(Cluster(address="http://head:8265", replicas=3, storage=storage))
    yield made
    made.close()
    assert not list((tmp_path / "answering").iterdir())


def test_each_request_is_answered_once_though_a_replica_is_lost(service: Replicas) -> None:
    told: list[int] = []
    requests = [ft.Request([{"role": "user", "content": f"q{number}"}]) for number in range(40)]
    answerer = RemoteAnswerer(service, "m")
    answers = answerer.answer_many(requests, ft.Sampling(seed=7), lambda number, answer: told.append(number))
    assert [answer.text for answer in answers] == [f"m q{number} {number} 7" for number in range(40)]
    assert sorted(told) == list(range(40))
    assert answerer.about() == {"machine": "http://head:8265", "model": "m"}
    with pytest.raises(ft.ModelError, match="on http://head:8265: there is no such model"):
        RemoteAnswerer(service, "broken").answer_many(requests, ft.Sampling())
    with pytest.raises(
        ft.RefusedError, match="ray:http://head:8265#m: reasoning_effort='low' is for hosted"
    ) as refused:
        answerer.answer_many(requests, ft.Sampling(reasoning_effort="low"))
    assert refused.value.backend == "ray"


def test_a_replica_asks_the_model_that_it_has_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason='needs pip install "ftkit[ray]"')
    from ftkit.backends.remote import model_calls
    from ftkit.modeling.artefact_digests import file_digests

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path))
    asked: list[str] = []
    monkeypatch.setattr(model_calls, "about", lambda model, tell: asked.append(model))
    made = tmp_path / "store" / "runs" / "r-1" / "model"
    made.mkdir(parents=True)
    replica = Replica((tmp_path / "store").as_uri())

    def ask(model: str) -> dict[str, Any]:
        return list(replica.run("about", {"model": model}))[-1]

    for content in (b"weights", b"other weights"):  # of another run that has the same id
        (made / "model.safetensors").write_bytes(content)
        (made / "ftkit.json").write_text(json.dumps({"files": file_digests(made)}))
        assert "error" not in ask("r-1")
        assert Path(asked[-1], "model.safetensors").read_bytes() == content
        assert not asked[-1].startswith(str(made))
    assert "error" not in ask("org/model")
    assert asked[-1] == "org/model"
    (made / "model.safetensors").write_bytes(b"torn")
    (made / "ftkit.json").write_text((made / "ftkit.json").read_text() + " ")
    assert "the model of run r-1 on the storage is damaged" in ask("r-1")["error"]["message"]


def test_a_job_that_has_ended_is_an_error_not_a_long_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "_STATUS_S", 0.0)
    monkeypatch.setattr(replicas, "submit_job", lambda *args: None)
    monkeypatch.setattr(replicas, "job_environment", lambda storage: {})
    monkeypatch.setattr(replicas, "stop_job", lambda *args: None)
    monkeypatch.setattr(replicas, "job_status", lambda *args: JobStatus("ended", "the job ended with status FAILED: x"))
    made = Replicas(Cluster(address="http://head:8265", replicas=1, storage=str(tmp_path)))
    with pytest.raises(ft.HostError, match=r"the job that answers at http://head:8265 has ended: .* FAILED: x"):
        made.call("about", model="m")
    made.close()


def test_replicas_that_nobody_asks_give_their_place_back(service: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "_UNUSED_S", 0.1)
    monkeypatch.setattr(replicas, "_IDLE_POLL_S", 0.05)
    assert service.call("about", model="m") == {"model": "m"}
    first = service._open
    assert first is not None
    until(lambda: not first.usable, 20)
    assert service.call("about", model="m") == {"model": "m"}
    assert service._open is not first


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["folder", "store"])
def test_the_report_of_replicas_is_that_of_one_machine(
    kind: str, head: str, tiny_model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "shared").mkdir()
    storage = request.getfixturevalue("bucket") if kind == "store" else tmp_path / "shared"
    data = ft.Dataset.from_rows(ROWS, TASK, target="a")
    there: Any = cluster(head, tiny_model, storage)
    there = ft.Ray(there.model, replicas=2)
    sampling = ft.Sampling(max_output_tokens=4, temperature=1.0, seed=3)
    models = [ft.Model(f"local:{tiny_model}", TASK, sampling=sampling), ft.Model(there, TASK, sampling=sampling)]
    requests = [ft.Request(TASK.prompt(row)) for row in ROWS]
    killed: list[int] = []

    def kill_once(number: int, answer: Answer) -> None:
        if not killed:
            killed.append(number)
            processes("ray::Replica")[0].kill()

    one = models[0].answer_many(requests)
    both = models[1].answer_many(requests, on_answer=kill_once)
    assert [answer.text for answer in both] == [answer.text for answer in one]
    reports = [ft.evaluate(model, data, probes=None, progress=False) for model in models]
    metrics = [[(each.name, each.value) for each in report.metrics] for report in reports]
    assert metrics[1] == metrics[0]
    models[1].close()
    if kind == "folder":
        assert not list((storage / "answering").iterdir())
        return
    assert not [name for name in ObjectStore(storage).sizes("answering") if not name.endswith(".jsonl")]
    recipe = ft.SFT(epochs=1, batch_size=8, precision="fp32", adapter=ft.LoRA(rank=4))
    run = ft.train(recipe, data, backend=there).wait(timeout_s=900)
    tuned, fetched = run.model, run.download(tmp_path / "fetched")  # the nodes fetch it by its name
    texts = [[answer.text for answer in model.answer_many(requests[:4], sampling)] for model in (tuned, fetched)]
    assert texts[0] == texts[1]
    tuned.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sweep_goes_to_the_cluster(head: str, tiny_model: str, tmp_path: Path) -> None:
    storage = tmp_path / "shared"
    storage.mkdir()
    data = ft.Dataset.from_rows(ROWS, TASK, target="a")
    backend = ft.Ray(tiny_model, address=head, workers=1, replicas=1, gpus_per_worker=0, storage=storage)
    grid = {"learning_rate": [1e-3, 5e-3]}

    def run_sweep() -> ft.Overview:
        recipe = ft.SFT(epochs=1, batch_size=8, precision="fp32", adapter=ft.LoRA(rank=4))
        sampling = ft.Sampling(max_output_tokens=4)
        return ft.sweep(recipe, data, data.take(6), backends=backend, grid=grid, sampling=sampling, progress=False)

    script = multiprocessing.get_context("fork").Process(target=run_sweep)
    script.start()
    until(lambda: any(run.state == "running" for run in ft.runs.all()), 900)
    os.kill(script.pid or 0, signal.SIGKILL)
    script.join()
    started = {run.id for run in ft.runs.all()}
    overview = run_sweep()
    assert len(overview.standings) == 2
    assert {run.stored_record.backend for run in ft.runs.all()} == {"ray"}
    assert len(ft.runs.all()) == 2
    assert started <= {run.id for run in ft.runs.all()}
    assert not list((storage / "answering").iterdir())
