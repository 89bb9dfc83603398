"""Names of clusters, and what is refused by name. Needs no Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.backends import backend_of
from ftkit.backends.local import LocalBackend
from ftkit.backends.ray.cluster import missing_resources
from ftkit.backends.ray.jobs_api import RunHandle
from ftkit.backends.ray.run_folder import RunFolder
from ftkit.store import RunRecord, Store


@pytest.mark.parametrize(
    ("text", "address", "workers", "model"),
    [
        ("Qwen/Qwen3-8B", "auto", 1, "auto#Qwen/Qwen3-8B"),
        ("http://head:8265?workers=4&storage=/a%20b#m", "http://head:8265", 4, None),
        ("auto?gpus_per_worker=0&cpus_per_worker=2.5#/models/m", "auto", 1, None),
    ],
)
def test_a_name_says_the_cluster_and_the_model(text: str, address: str, workers: int, model: str | None) -> None:
    backend: Any = backend_of(f"ray:{text}")
    assert (backend.cluster.address, backend.cluster.workers) == (address, workers)
    assert backend.model == (model or text)
    assert ft.Ray(backend.model).cluster == backend.cluster


@pytest.mark.parametrize(
    "changes",
    [
        {"workers": "2"},
        {"workers": 0},
        {"workers": True},
        {"workers": 10**9},
        {"cpus_per_worker": float("nan")},
        {"replicas": -1},
        {"address": 5},
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ft.ConfigError, match=next(iter(changes))):
        ft.Ray("m", **changes)


def test_no_password_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://me:hunter2@head:8265"
    with pytest.raises(ft.ConfigError, match="RAY_JOB_HEADERS") as refused:
        ft.Ray("m", address=address)
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ft.ConfigError, match="RAY_JOB_HEADERS"):
        ft.Ray("m").cluster.url()
    with pytest.raises(ft.ConfigError) as stored:
        ft.Ray("m", storage="s3://key:hunter2@bucket")
    assert "hunter2" not in str(stored.value)
    with pytest.raises(ft.ConfigError, match="no option 'gpu'") as named:
        backend_of("ray:https://me:hunter2@head:8265?gpu=1#m")
    assert "hunter2" not in str(named.value)


@pytest.mark.parametrize(
    "text",
    ["#m", "http://h#", "head:8265#m", "auto?workers=0#m", "auto?workers=x#m", "auto?gpu=1#m", "auto?storage=here#m",
     "auto?workers=2&workers=3#m", "http://head:99999#m", "a\nb"],
)  # fmt: skip
def test_what_is_no_cluster_is_refused(text: str) -> None:
    with pytest.raises(ft.ConfigError):
        backend_of(f"ray:{text}")


@pytest.mark.parametrize("model", [None, 5, "", " ", ["m"]])
def test_what_is_no_model_is_refused(model: Any) -> None:
    for make in (ft.Ray, LocalBackend, lambda model: ft.SSH("box", model or "")):
        if model in ("", " ") and make is LocalBackend:  # told when it is looked for
            continue
        with pytest.raises(ft.ConfigError, match="model"):
            make(model)


def test_what_is_not_built_is_refused_by_name() -> None:
    for changes in ({"gpus_per_worker": 2},):
        with pytest.raises(ft.RefusedError) as refused:
            ft.Ray("Qwen/Qwen3-8B", **changes)  # type: ignore[arg-type]
        assert (refused.value.backend, refused.value.fields) == ("ray", tuple(changes))


def test_a_strategy_is_part_of_the_name() -> None:
    backend = ft.Ray("m", workers=8, strategy="fsdp2", address="http://head:8265")
    assert backend.model == "http://head:8265?workers=8&strategy=fsdp2#m"
    assert ft.Ray(backend.model).cluster == backend.cluster
    for name in ("http://head:8265?strategy=zero#m", "http://head:8265?strategy=#m"):
        with pytest.raises(ft.ConfigError, match='write "ddp" or "fsdp2"'):
            ft.Ray(name)


def test_events_are_read_on_from_a_byte_and_a_cut_one_waits(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "r")
    folder.path.mkdir(parents=True)
    assert list(folder.events(0)) == []
    for step in (1, 2):
        folder.append("step", {"step": step})
    with (folder.path / "events.jsonl").open("ab") as file:
        file.write(b'{"at": 1, "kind"')
    read = list(folder.events(0))
    assert [event["data"]["step"] for _, event in read] == [1, 2]
    assert list(folder.events(read[-1][0])) == []
    assert [event["data"]["step"] for _, event in folder.events(read[0][0])] == [2]
    assert folder.ended() is None
    folder.append("step", {"step": 3})  # by the worker that is started again
    assert [event["data"]["step"] for _, event in folder.events(read[0][0])] == [2, 3]
    folder.say_begun()
    assert folder.has_begun()
    folder.finish(state="cancelled")
    assert folder.ended() == {"state": "cancelled"}
    folder.begin()
    assert (folder.ended(), folder.has_begun()) == (None, False)


def test_missing_nodes_are_said() -> None:
    assert missing_resources(4, {"CPU": 1.0, "GPU": 1.0}, {"CPU": 8.0}) == "4 GPU and the cluster has 0"
    assert missing_resources(4, {"CPU": 1.0}, {"CPU": 4.0}) is None


def test_a_log_that_cannot_be_fetched_is_said_once() -> None:
    store, backend = Store(), ft.Ray("m", address="http://127.0.0.1:9")
    handle = RunHandle(url="http://127.0.0.1:9", storage="/shared", key="k")
    record = RunRecord(
        id="r",
        backend="ray",
        model="m",
        created_at=1.0,
        recipe={},
        task={},
        rows=1,
        data_fingerprint="sha256:0",
        handle=handle.model_dump(),
    )
    store.create(record)
    for _ in range(2):  # two processes see that the run has ended
        backend._copy_log(record, store)
    (warning,) = [event for event in store.events("r") if event.kind == "warning"]
    assert "the log of the job is not in log.txt: " in warning.data["message"]
