"""Runs have names, tags and notes; lists of runs show and filter what was trained and how well it went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.cli.app import app
from ftkit.results.metric_table import MetricTable
from ftkit.store import RunRecord, Store


@pytest.fixture
def store(ftkit_home: Path, tiny_model: str) -> Store:
    store = Store()
    for number, rank in enumerate((4, 8, 16)):
        recipe = ft.SFT(adapter=ft.LoRA(rank=rank), learning_rate=1e-3 if number else "auto")
        store.create(
            RunRecord(
                id=f"run-{number}", name="visits", tags=("baseline",)[number:], backend="local",
                model="m" if number else tiny_model, created_at=1e9 + number, finished_at=1e9 + 60,
                recipe=recipe.model_dump(mode="json"), task={}, rows=9,
                data_fingerprint="sha256:0", state="succeeded" if number < 2 else "failed",
            )
        )  # fmt: skip
        for step in range(1, 61):
            store.append(f"run-{number}", "step", {"step": step, "steps": 60, "loss": 2 / (step + number)})
        store.append(f"run-{number}", "validation", {"step": 30, "loss": 1.0 + number})
        store.append(f"run-{number}", "validation", {"step": 60, "loss": 0.5 + number})
    for rate in (5e-4, 1.4e-3):  # it was resumed
        store.append("run-0", "log", {"message": "training", "recipe": {"learning_rate": rate, "batch_size": 4}})
    store.append("run-1", "report", {"primary": "accuracy", "metrics": {"accuracy": 0.9}, "rows": 5})
    return store


def ids(*where: str, sort: str | None = None) -> list[str]:
    return [row["id"] for row in ft.runs.table(*where, sort=sort)]


def test_runs_are_found_by_what_they_are(store: Store) -> None:
    assert ids() == ["run-2", "run-1", "run-0"]
    assert ids("rank>=8", "state=succeeded") == ["run-1"]
    assert ids("adapter.rank=16") == ["run-2"]
    assert ids("learning_rate=1.4e-3") == ids("batch_size=4") == ["run-0"]  # what "auto" stood for when it was trained
    assert ids("batch_size=auto") == ["run-2", "run-1"]  # nothing says what they took
    assert ids("score>0.8") == ["run-1"]
    assert ids("tag=baseline") == ids("tags=baseline") == ["run-0"]
    assert ids("name~VIS", "tag!=baseline", sort="validation_loss") == ["run-1", "run-2"]
    assert ids(sort="-loss") == ["run-0", "run-1", "run-2"]
    assert [run.id for run in ft.runs.all("state=failed")] == ["run-2"]
    row = ft.runs.table("tag=baseline")[0]
    assert (row["loss"], row["validation_loss"], row["score"], row["seconds"]) == (2 / 60, 0.5, None, 60.0)
    for wrong, said in (
        ("rank", "write field, operator and value"),
        ("rank>=many", ">= takes a number, not 'many'"),
        ("ranks=8", "no run has a field 'ranks'"),
    ):
        with pytest.raises(ft.ConfigError, match=said):
            ft.runs.table(wrong)


def test_metrics_are_a_table_with_validations(store: Store, tmp_path: Path) -> None:
    metrics = ft.runs.get("run-0").metrics
    assert isinstance(metrics, MetricTable)
    assert metrics[29] == {"step": 30, "steps": 60, "loss": 2 / 30, "validation_loss": 1.0}
    assert metrics.column("validation_loss").count(None) == 58
    store.append("run-0", "validation", {"step": 0, "loss": 3.0})  # before the first step
    metrics = ft.runs.get("run-0").metrics
    assert (metrics[0]["step"], len(metrics)) == (1, 60)
    assert [row["loss"] for row in ft.runs.get("run-0").validations] == [3.0, 1.0, 0.5]
    assert metrics.plot().lines[1].points[0] == (0.0, 3.0)
    frame = metrics.to_pandas()
    assert list(frame.columns) == ["step", "steps", "loss", "validation_loss"]
    assert frame["validation_loss"].notna().sum() == 2
    assert "30 of 60 rows" in str(metrics) or "rows; save" in str(metrics)
    assert metrics._repr_html_().count("<polyline") == 2
    assert metrics.save(tmp_path / "m.csv").read_text().splitlines()[30].startswith("30,60,")
    svg = metrics.plot("loss").save(tmp_path / "m.svg").read_text()
    assert svg.startswith("<svg xmlns")
    assert "loss 2 to 0.0333" in svg.replace("training", "loss")
    both = ft.runs.plot("run-0", "run-1")
    assert [(line.label, line.validation, len(line.points)) for line in both.lines] == [
        ("run-0", False, 60),
        ("run-0 validation", True, 3),
        ("run-1", False, 60),
        ("run-1 validation", True, 2),
    ]
    with pytest.raises(ft.ConfigError, match="no step has a number 'lost'"):
        metrics.plot("lost")


def test_labels_are_checked_and_changed(store: Store) -> None:
    run = ft.runs.get("run-0").annotate(name="second try", tags=["a", "b", "a"], notes="line\nline")
    assert (run.name, run.tags, run.notes) == ("second try", ("a", "b"), "line\nline")
    assert ft.runs.get("run-0").annotate(notes="").notes is None
    for wrong in ({"name": "a\nb"}, {"tags": "ab"}, {"tags": [""]}, {"name": "x" * 200}, {"notes": 3}):
        with pytest.raises(ft.ConfigError):
            run.annotate(**wrong)
    assert ft.runs.get("run-0").name == "second try"


def test_the_command_line_filters_plots_and_deletes_many(store: Store, tmp_path: Path) -> None:
    def type_in(*words: str):
        return CliRunner().invoke(app, ["runs", *words])

    head, line = type_in("--where", "tag=baseline").stdout.splitlines()
    assert head.split()[5:11] == ["NAME", "TAGS", "RANK", "LR", "LOSS", "VALIDATION"]
    assert line.split()[5:11] == ["visits", "baseline", "4", "0.0014", "0.03333", "0.5"]
    listed = json.loads(type_in("list", "--sort", "-score", "--json").stdout)
    assert (listed[0]["id"], listed[0]["score"]) == ("run-1", 0.9)
    assert "▁" in type_in("plot", "run-0").stdout
    assert type_in("plot", "run-0", "run-1", "-o", str(tmp_path / "p.html")).exit_code == 0
    assert (tmp_path / "p.html").read_text().count("<polyline") == 4
    assert type_in("plot", "run-0", "--metric", "x").exit_code == 2
    assert "visits" in type_in("show", "run-0").stdout
    refused = type_in("delete", "--where", "state=failed")
    assert (refused.exit_code, len(ft.runs.all())) == (2, 3)
    assert type_in("delete", "--where", "state=failed", "--yes").stderr == "deleted run run-2\n"
    store.update("run-1", state="running", backend="elsewhere")
    kept = type_in("delete", "run-0", "run-1")
    assert kept.exit_code == 1
    assert len(ft.runs.all()) == 2
