"""Experiment trackers get the numbers of a run, its recipe and its reports: the real packages, on local folders."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.runs.run import Run
from ftkit.runs.trackers import MetricTracker, create_tracker
from ftkit.store import Event, RunRecord, Store

RESOLVED = ft.SFT(learning_rate=3e-4, epochs=2).model_dump(mode="json")


def run_of(trackers: list[str], objects: list[Any] = []) -> Run:  # noqa: B006
    """A run that has trained five steps, was validated twice and evaluated once; everything is delivered."""
    store = Store()
    recipe = ft.SFT(adapter=ft.LoRA(rank=4)).model_dump(mode="json")
    record = RunRecord(
        id="20260101-000000-cccc", name="first", tags=("baseline",), notes="why", backend="local", model="m",
        created_at=1e9, recipe=recipe, task={}, rows=3, data_fingerprint="sha256:0",
    )  # fmt: skip
    store.create(record, trackers=trackers)
    run: Run = Run(store.get(record.id), store, trackers=objects)
    store.append(run.id, "log", {"message": "training", "recipe": RESOLVED})
    for step in range(1, 6):
        parts = {"reward_parts": {"right": 0.5}} if step == 5 else {}
        store.append(run.id, "step", {"step": step, "steps": 5, "loss": 2 / step, "learning_rate": 1e-3, **parts})
        if step in (3, 5):
            store.append(run.id, "validation", {"step": step, "loss": 1 / step})
    store.update(run.id, state="succeeded", finished_at=2e9)
    assert run.state == "succeeded"
    report = {"label": "tuned", "primary": "accuracy", "metrics": {"accuracy": 0.9}, "rows": 7, "step": 5}
    run.add_event("report", report)
    return run


class Recorder(MetricTracker):
    def __init__(self) -> None:
        self.said: list[Any] = []
        super().__init__()

    def open(self, run: RunRecord) -> str:
        self.said.append("open")
        return run.id

    def log(self, handle: str, metrics: dict[str, float], step: int, at: float) -> None:
        self.said.append((step, metrics))

    def note(self, handle: str, event: Event) -> None:
        self.said.append(event.kind)

    def finish(self, handle: str, run: RunRecord | None) -> None:
        self.said.append("finish")

    def link(self, run: RunRecord) -> str:
        return "http://tracker/1"


def test_numbers_have_the_names_of_transformers_and_a_report_follows_the_end(ftkit_home: Path) -> None:
    recorder = Recorder()
    run = run_of([], [recorder])
    assert recorder.said[:2] == ["open", "log"]
    assert recorder.said[2] == (1, {"train/loss": 2.0, "train/learning_rate": 1e-3})
    assert (3, {"eval/loss": 1 / 3}) in recorder.said
    assert recorder.said[-7] == (5, {"train/loss": 0.4, "train/learning_rate": 1e-3, "train/reward_parts/right": 0.5})
    assert recorder.said[-4:] == ["open", (5, {"test/accuracy": 0.9}), "report", "finish"]
    links = [event.data for event in run.stored_events() if event.data.get("tracker")]
    assert [(link["tracker"], link["link"]) for link in links] == [("Recorder", "http://tracker/1")]


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trackio", "wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ft.MissingExtraError, match=rf'pip install "ftkit\[{name}\]"'):
            create_tracker(name)


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_reads_what_was_written(ftkit_home: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_of([f"tensorboard:{tmp_path / 'boards'}"])
    events = EventAccumulator(str(tmp_path / "boards" / run.id), size_guidance={"tensors": 0})
    events.Reload()
    found = {}
    for tag in events.Tags()["tensors"]:
        found[tag] = [(one.step, round(float(one.tensor_proto.float_val[0]), 3)) for one in events.Tensors(tag)]
    assert found["train/loss"] == [(1, 2.0), (2, 1.0), (3, 0.667), (4, 0.5), (5, 0.4)]
    assert found["eval/loss"] == [(3, 0.333), (5, 0.2)]
    assert found["test/accuracy"] == [(5, 0.9)]


SCRIPT = """
import json, sys
from tests.runs.test_experiment_trackers import run_of
kind = sys.argv[1]
run = run_of([kind])
links = [event.data["link"] for event in run.stored_events() if event.data.get("tracker")]
if kind == "trackio":
    import trackio
    found = trackio.Api().runs("ftkit")[0]
    from trackio.sqlite_storage import SQLiteStorage
    logs = SQLiteStorage.get_logs("ftkit", run.id)
    metrics = [(log["step"], name, log[name]) for log in logs for name in log if "/" in name]
    config = SQLiteStorage.get_run_config("ftkit", run.id)
elif kind == "mlflow":
    import mlflow
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("ftkit").experiment_id
    (found,) = client.search_runs([experiment])
    assert found.info.status == "FINISHED" and found.info.run_name == "first", found.info
    metrics = [(one.step, name, one.value) for name in found.data.metrics
               for one in client.get_metric_history(found.info.run_id, name)]
    config = found.data.params
print("FOUND", json.dumps([links, sorted(metrics), {name: str(value) for name, value in config.items()}]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trackio", "mlflow"])
def test_the_real_trackers_have_every_number(kind: str, ftkit_home: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f"{kind} is not installed")
    places = {"TRACKIO_DIR": str(tmp_path / "trackio"), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'm.sqlite3'}"}
    if kind == "mlflow" and importlib.util.find_spec("sqlalchemy") is None:  # mlflow-skinny
        places |= {"MLFLOW_TRACKING_URI": f"file://{tmp_path / 'mlruns'}", "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind], capture_output=True, text=True, check=False, env=os.environ | places
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("FOUND ")), None)
    assert line is not None, done.stderr[-3000:]
    links, metrics, config = json.loads(line.removeprefix("FOUND "))
    assert len(links) == 1
    by_name = {name: [] for _, name, _ in metrics}
    for step, name, value in metrics:
        by_name[name].append((step, round(value, 3)))
    assert by_name["train/loss"] == [(1, 2.0), (2, 1.0), (3, 0.667), (4, 0.5), (5, 0.4)]
    assert by_name["eval/loss"] == [(3, 0.333), (5, 0.2)]
    assert by_name["test/accuracy"] == [(5, 0.9)]
    assert (config["learning_rate"], config["ftkit_run"]) == ("0.0003", "20260101-000000-cccc")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_writes_its_files_without_a_network(ftkit_home: Path, tmp_path: Path) -> None:
    places = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    script = "from tests.runs.test_experiment_trackers import run_of; run_of(['wandb'])"
    done = subprocess.run(
        [sys.executable, "-W", "error::ftkit.runs.trackers.TrackerWarning", "-c", script],
        capture_output=True, text=True, check=False, env=os.environ | places,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "failed" not in done.stderr, done.stderr[-3000:]
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("run-*.wandb"))
    for name in (b"train/loss", b"eval/loss", b"test/accuracy", b"20260101-000000-cccc"):
        assert name in written, name
