"""The kept answers of a run: read back, shown, and harmless whatever a model has written."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.cli.app import app
from ftkit.render.samples import read_samples, samples_page, samples_text
from ftkit.store import RunRecord, Store
from ftkit.training.sample_log import SAMPLES, SampleLog, SampleRecord


def sample(step: int, which: str, answer: str = "a", reward: float = 0.5) -> SampleRecord:
    return SampleRecord(
        step=step, which=which, row="r1", prompt="2 + 2?", answer=answer, reward=reward, parts={"short": 0.25},
        error=None, tokens=3, truncated=False,
    )  # fmt: skip


@pytest.fixture
def run() -> ft.Run:
    store = Store()
    record = RunRecord(
        id="20261124-1-a", backend="local", model="m", created_at=0.0, recipe={}, task={}, rows=1, data_fingerprint="s",
        state="succeeded", finished_at=1.0,
    )  # fmt: skip
    store.create(record)
    store.append(record.id, "step", {"step": 1, "reward": 0.25, "grader_errors": {}})
    return ft.Run(record, store)


def test_samples_are_read_back_and_shown(run: ft.Run):
    with pytest.raises(ft.RunError, match="has no samples"):
        read_samples(run)
    kept = SampleLog(run.folder / SAMPLES)
    kept.add([sample(1, "best", "<script>x</script>", 1.0), sample(1, "worst")])
    kept.add([sample(2, "best"), sample(2, "worst", "two\nlines", 0.0)])
    found = read_samples(run)
    assert [(one.step, one.which) for one in found] == [(1, "best"), (1, "worst"), (2, "best"), (2, "worst")]
    text = samples_text(found)
    assert "step 2\n  best: reward 0.500, short 0.25, 3 tokens\n" in text
    assert "answer  two ⏎ lines" in text
    page = samples_page(run, found)
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "reward 0.25" in page


def test_a_run_that_goes_on_forgets_what_it_does_again(tmp_path: Path):
    kept = SampleLog(tmp_path / "samples.jsonl")
    kept.truncate_after(0)
    assert not kept.file.exists()
    kept.add(sample(step, "best") for step in (1, 2, 3))
    with kept.file.open("a") as file:
        file.write('{"step": 4, "wh')  # the machine went off while it wrote
    kept.truncate_after(2)
    assert [one.step for one in kept.read()] == [1, 2]


def test_the_command_line_shows_the_last_steps_or_writes_a_page(run: ft.Run, tmp_path: Path):
    SampleLog(run.folder / SAMPLES).add(sample(step, which) for step in (1, 2) for which in ("best", "worst"))
    shown = CliRunner().invoke(app, ["runs", "samples", run.id, "--last", "1"])
    assert shown.exit_code == 0
    assert "step 2" in shown.stdout
    assert "step 1" not in shown.stdout
    page = tmp_path / "samples.html"
    assert CliRunner().invoke(app, ["runs", "samples", run.id, "--html", str(page)]).exit_code == 0
    assert "Step 1" in page.read_text(encoding="utf-8")
