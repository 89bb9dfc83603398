"""Object stores as the storage of a cluster, on this machine: ``file://`` goes the same way as ``s3://``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.ray.cluster import Cluster
from ftkit.backends.ray.object_store import ObjectStore, check_address
from ftkit.backends.ray.run_folder import run_files
from ftkit.backends.ray.run_objects import RunObjects
from ftkit.training.sample_log import SAMPLES
from tests.ray.conftest import STORE_KEY as SECRET
from tests.runs.test_runs import ROWS, TASK, until

pytest.importorskip("pyarrow", reason='needs pip install "ftkit[ray]"')


@pytest.fixture(params=["file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store: a folder, or a bucket of a server on loopback where there is one."""
    if request.param == "file":
        (tmp_path / "store").mkdir()
        return (tmp_path / "store").as_uri()
    return str(request.getfixturevalue("bucket"))


def test_objects_are_written_listed_copied_and_deleted(address: str, tmp_path: Path) -> None:
    store = ObjectStore(address)
    store.check()
    assert store.read("a/one") is None
    assert store.sizes("a") == {}
    store.delete("a")
    store.write("a/one", b"1")
    store.write("a/one", b"12")
    store.write("a/b/two", b"")
    assert store.read("a/one") == b"12"
    assert store.sizes("a") == {"one": 2, "b/two": 0}
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "three").write_text("3")
    store.put(tmp_path / "here", "c")
    store.put(tmp_path / "here" / "three", "a/b/three")
    store.fetch("a", tmp_path / "back")
    assert sorted(file.name for file in (tmp_path / "back").rglob("*") if file.is_file()) == ["one", "three", "two"]
    assert store.exists("c/three")
    store.delete("a")
    store.delete("c/three")
    assert not store.exists("a/one")
    assert not store.exists("c/three")
    store.fetch("none", tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_run_travels_by_objects(address: str, tmp_path: Path) -> None:
    here, there = (run_files(address, "r-1") for _ in range(2))
    assert isinstance(there, RunObjects)
    assert (here.has_job(), here.ended(), here.has_begun(), here.has_model()) == (False, None, False, False)
    (tmp_path / "rows").write_text("rows")
    here.keep(tmp_path / "rows", "ab" * 32)
    here.write_job({"cluster": {}})
    here.begin()
    with there.workspace(first=True) as place:
        there.say_begun()
        assert there.job() == {"cluster": {}}
        assert (place.received / ("ab" * 32)).read_text() == "rows"
        there.append("log", {"message": "training"})
        for step in range(1, 40):  # most within a second: they are written together
            there.append("step", {"step": step})
        whole = place.checkpoints / "step-000039"
        whole.mkdir(parents=True)
        (whole / "COMPLETE").write_text("{}")
        (place.checkpoints / ".aside-1").mkdir()
        (place.checkpoints / ".aside-1" / "half").write_text("")
        place.output.with_name(SAMPLES).write_text("{}\n")
        there.append("checkpoint", {"step": 39})
    read = list(here.events(0))
    assert [event["data"].get("step") for _, event in read] == [None, *range(1, 40), 39]
    assert len(ObjectStore(address).sizes("runs/r-1/events")) < 10
    assert list(here.events(read[-1][0])) == []
    assert [event["data"]["step"] for _, event in here.events(read[30][0])] == [*range(31, 40), 39]
    here.copy_samples(tmp_path / SAMPLES, whole=False)
    assert (tmp_path / SAMPLES).read_text() == "{}\n"

    again = run_files(address, "r-1")  # a worker that was started anew, on another node
    with again.workspace(first=True) as place:
        assert sorted(path.name for path in place.checkpoints.rglob("*")) == ["COMPLETE", "step-000039"]
        again.append("step", {"step": 40})
        here.ask_to_stop()
        assert again.is_asked_to_stop()
        place.output.mkdir()
        (place.output / "ftkit.json").write_text("{}")
    again.finish(state="succeeded")
    assert not place.output.exists()
    assert [event["data"]["step"] for _, event in here.events(read[-1][0])] == [40]
    assert here.ended() == {"state": "succeeded"}
    assert here.has_model()
    assert not ObjectStore(address).exists("runs/r-1/checkpoints")
    here.fetch_model(tmp_path / "model")
    local = here.local_model(tmp_path / "cache")
    assert local is not None
    assert (tmp_path / "model" / "ftkit.json").read_text() == (local / "ftkit.json").read_text()
    here.begin()
    assert (here.ended(), here.is_asked_to_stop()) == (None, False)
    ObjectStore(address).write("runs/r-1/described.json", b"torn")
    with pytest.raises(ft.HostError, match="is damaged: it is no JSON"):
        there.job()
    here.delete()
    assert ObjectStore(address).sizes("runs") == {}
    with pytest.raises(ft.HostError, match="is gone from the storage"):
        there.job()


@pytest.mark.parametrize(
    "storage",
    [
        f"s3://{SECRET}:{SECRET}@bucket/prefix",
        f"s3://{SECRET}@bucket/prefix",
        f"s3://bucket/prefix?access_key={SECRET}",
        f"s3://bucket/prefix?session_token={SECRET}&region=x",
        f"abfss://container:{SECRET}@account/prefix",
        f"http://bucket/{SECRET}",
        f"s3://{SECRET}\n",
        "s3://",
    ],
)
def test_an_address_with_a_secret_is_refused_without_showing_it(storage: str) -> None:
    with pytest.raises(ft.ConfigError) as refused:
        ft.Ray("m", storage=storage)
    assert SECRET not in str(refused.value)


def test_an_address_is_part_of_the_name_and_a_store_that_is_missing_is_said(tmp_path: Path) -> None:
    address = "s3://bucket/a?endpoint_override=h:9000&scheme=http"
    check_address(address)
    backend = ft.Ray("m", storage=address, workers=2)
    assert Cluster.split(backend.model)[0] == backend.cluster
    with pytest.raises(ft.HostError, match=re.escape("is not there: make the bucket or the folder first")):
        run_files((tmp_path / "none").as_uri(), "").check()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_on_a_cluster_stops_and_goes_on_over_an_object_store(
    head: str, bucket: str, tiny_model: str, tmp_path: Path, ftkit_home: Path
) -> None:
    data = ft.Dataset.from_rows(ROWS, TASK, target="a")
    recipe = ft.SFT(
        epochs=12, save_steps=1, batch_size=8, learning_rate=5e-3, precision="fp32", adapter=ft.LoRA(rank=4)
    )
    backend = ft.Ray(tiny_model, address=head, workers=2, gpus_per_worker=0, storage=bucket)
    run = ft.train(recipe, data, backend=backend)
    until(lambda: len(run.metrics) > 2, 900)
    assert run.cancel().state == "cancelled"
    run.resume().wait(timeout_s=900)
    assert [step["step"] for step in run.metrics] == list(range(1, 37))
    assert any("going on from the checkpoint" in str(event.data) for event in run.events())
    assert run.model.answer_many([ft.Request(TASK.prompt({"q": "1?"}))], ft.Sampling(max_output_tokens=3))
    assert run.download(tmp_path / "fetched").task.fingerprint == data.task.fingerprint
    assert (run.folder / "log.txt").read_text()
    for file in [*ftkit_home.rglob("*"), *(tmp_path / "fetched").rglob("*")]:
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    ft.runs.delete(run.id)
    assert not [name for name in ObjectStore(bucket).sizes("runs") if run.id in name]
