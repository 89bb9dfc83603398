"""Sweeps train every recipe on every backend once, go on where they were, keep to their budget, and compare."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.backends import OnAnswer, TrainingJob
from ftkit.backends.registry import BACKENDS
from ftkit.cli.app import app
from ftkit.recipe import expand_grid, field_values
from ftkit.results.plan import Quote
from ftkit.store import RunRecord, Store
from ftkit.task import Task

TASK = ft.Task("Which?", input="{q}", output=Literal["yes", "no"])
ROWS = [{"q": f"question {number}", "a": "yes" if number % 2 else "no"} for number in range(12)]
GRID = {"learning_rate": [1e-4, 2e-4, 4e-4], "adapter.rank": [4, 8]}


class Host:
    """A host that trains at once. A model answers the more questions right, the higher its rate and rank were."""

    name = "toyhost"
    started: list[str] = []  # noqa: RUF012
    fail: str | None = None
    usd: float | None = 1.0

    def __init__(self, model: str) -> None:
        self.model = model

    def check(self, recipe: Any, data: Any, validation: Any) -> None:
        if recipe.adapter.kind == "adalora":
            raise ft.RefusedError("adapter: no AdaLoRA", backend="toyhost", fields=("adapter",))

    def quote(self, recipe: Any, data: Any, validation: Any) -> Quote:
        return Quote(
            backend=f"toyhost:{self.model}", rows=len(data), epochs=1, tokens_per_epoch=100, tokenizer="t", exact=True,
            training_usd=self.usd, usd_per_1000_predictions=0.0, hosting_usd_per_hour=None, training_closes=None,
            training_days_left=None, stops_answering=None, answering_days_left=None, stops_source=None,
            estimated_by_host=False, unlisted=None, replacement=None, price_source=None, price_as_of=None,
        )  # fmt: skip

    def submit(self, job: TrainingJob, store: Store) -> None:
        Host.started.append(job.run_id)
        store.append(job.run_id, "step", {"step": 1, "steps": 1, "loss": 1.0})
        failed = Host.fail is not None and job.run_id.endswith(Host.fail)
        ended: dict[str, Any] = {"state": "failed", "error": "out of luck"} if failed else {"state": "succeeded"}
        rank = job.recipe.adapter.rank  # type: ignore[attr-defined]
        store.update(job.run_id, finished_at=time.time(), summary={"cost_usd": rank / 4, "rank": rank}, **ended)

    def refresh(self, record: RunRecord, store: Store) -> None: ...
    def resume(self, record: RunRecord, store: Store) -> None: ...
    def cancel(self, record: RunRecord, store: Store) -> None: ...

    def tuned_model(self, record: RunRecord, store: Store) -> str:
        return record.id

    def answerer(self) -> Host:
        return self

    def known_task(self) -> Task | None:
        try:
            return Task.model_validate(Store().get(self.model).task)
        except ft.RunNotFoundError:
            return None

    def about(self) -> dict[str, Any]:
        return {"model": self.model}

    def answer_many(
        self, requests: Sequence[ft.Request], sampling: ft.Sampling, on_answer: OnAnswer | None = None
    ) -> list[ft.Answer]:
        record = Store().get(self.model)
        right = 4 + record.summary["rank"] // 4 + round(record.recipe["learning_rate"] * 1e4)
        found = []
        for request in requests:
            number = int(str(request.messages[-1]["content"]).rpartition(" ")[2])
            says = "yes" if (number % 2 == 1) == (number < right) else "no"
            found.append(ft.Answer(says, "stop", 5, 1, 0.01))
        return found


@pytest.fixture(autouse=True)
def host(ftkit_home: Path) -> Any:
    Host.started, Host.fail, Host.usd = [], None, 1.0
    BACKENDS.register("toyhost", Host)  # type: ignore[arg-type]
    yield Host
    BACKENDS.unregister("toyhost")


@pytest.fixture
def data() -> ft.Dataset:
    return ft.Dataset.from_rows(ROWS, TASK, target="a")


def sweep(data: ft.Dataset, **changes: Any) -> ft.Overview:
    options: dict[str, Any] = {"backends": "toyhost:m", "grid": GRID, "lint": False, "progress": False} | changes
    return ft.sweep(ft.SFT(epochs=1), data, data, **options)


def test_a_grid_is_every_combination_and_says_what_is_wrong() -> None:
    recipes = expand_grid(ft.SFT(), GRID)
    assert [(one.learning_rate, field_values(one)["adapter.rank"]) for one in recipes] == [
        (rate, rank) for rate in GRID["learning_rate"] for rank in GRID["adapter.rank"]
    ]
    kinds = expand_grid(ft.SFT(), {"adapter": [ft.LoRA(rank=2), ft.DoRA()]})
    assert [one.adapter.kind for one in kinds] == ["lora", "dora"]
    for grid, said in (
        ({"lr": [1]}, "no field 'lr'"),
        ({"epochs": []}, "at least one value"),
        ({"epochs": 3}, "at least one value"),
        ({"learning_rate": [7]}, "learning_rate=7"),
        ({"epochs": list(range(1, 40)), "seed": list(range(40))}, "1,560 combinations"),
    ):
        with pytest.raises(ft.ConfigError, match=said):
            expand_grid(ft.SFT(), grid)  # type: ignore[arg-type]


def test_a_sweep_compares_all_and_goes_on_where_it_was(data: ft.Dataset) -> None:
    overview = sweep(data)
    assert overview.columns == ("trial", "learning_rate", "adapter.rank")
    assert [one.fields["adapter.rank"] for one in overview.standings] == [4, 8] * 3
    assert overview.price == "$ of training"
    assert [one.price for one in overview.standings] == [1.0, 2.0] * 3
    assert overview.best.fields == {"trial": 6, "learning_rate": 4e-4, "adapter.rank": 8}
    assert [one.fields["trial"] for one in overview.standings if one.on_front] == [5, 6]
    text = str(overview)
    assert "learning_rate" in text.splitlines()[2]
    assert "by $ of training" in text
    assert "confirm it on other rows" in text
    assert overview.to_pandas().shape[0] == 6
    assert "adapter.rank" in overview.render("html")
    assert len(Host.started) == 6
    runs = ft.runs.table(f"tag={Host.started[0].rpartition('-')[0]}", sort="-score")
    assert (len(runs), runs[0]["id"], runs[0]["metric"]) == (6, overview.best.run, overview.primary)

    again = sweep(data)
    assert len(Host.started) == 6  # nothing was trained again
    assert again.to_json() == overview.to_json()
    sweep(data, seed=1)  # other options: evaluated again, not trained
    assert len(Host.started) == 6
    ft.runs.delete(Host.started[2])
    sweep(data)
    assert Host.started[6:] == [Host.started[2]]


def test_a_trial_that_fails_is_named_and_the_others_are_compared(data: ft.Dataset) -> None:
    Host.fail = "-3"
    overview = sweep(data, name="mine")
    assert len(overview.reports) == 5
    assert "trial 3 (learning_rate=0.0002 rank=4) has no report: run mine-3 failed: out of luck" in overview.notes
    with pytest.raises(ft.ConfigError, match="the sweep mine was begun with other recipes"):
        sweep(data, name="mine", grid={"adapter.rank": [4, 16]})
    Host.fail = ""
    with pytest.raises(ft.RunError, match="no trial of sweep none has a model"):
        sweep(data, name="none")


def test_nothing_starts_that_costs_too_much_or_is_refused(data: ft.Dataset) -> None:
    with pytest.raises(ft.RefusedError, match=r"max_cost is \$5\.00, and the sweep would cost about \$6\.00"):
        sweep(data, max_cost=5)
    Host.usd = None
    with pytest.raises(ft.RefusedError, match=r"the price of learning_rate=0\.0001 rank=4 is not known"):
        sweep(data, max_cost=100)
    Host.usd = 1.0
    with pytest.raises(ft.RefusedError, match="no AdaLoRA"):
        sweep(data, grid={"adapter": [ft.LoRA(), ft.AdaLoRA()]})
    with pytest.raises(ft.ConfigError, match="trackers of a sweep are names"):
        sweep(data, trackers=[object()])
    with pytest.raises(ft.ConfigError, match="a trial twice"):
        sweep(data, grid={"adapter.rank": [8, 8]})
    assert Host.started == []
    assert ft.runs.all() == []
    assert len(sweep(data, max_cost=6).reports) == 6


def test_the_command_line_sweeps(data: ft.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    TASK.to_yaml("task.yaml")
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    Path("recipe.yaml").write_text("kind: sft\nepochs: 1\ngrid:\n  adapter.rank: [4, 8]\nrun:\n  trackers: [jsonl]\n")
    words = ["recipe.yaml", "--data", "rows.jsonl", "--test", "rows.jsonl", "--task", "task.yaml", "--target", "a"]
    words += ["--backend", "toyhost:m", "--grid", "learning_rate=1e-4,4e-4", "--no-lint", "-o", "sweep.json"]
    done = CliRunner().invoke(app, ["sweep", *words])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[2].split()[:3] == ["trial", "learning_rate", "adapter.rank"]
    assert Path("sweep.json").exists()
    assert (Store().folder / "trackers.jsonl").read_text().count('"type": "start"') == 4
    refused = CliRunner().invoke(app, ["sweep", *words, "--max-cost", "1"])
    assert refused.exit_code == 0  # everything is there already
    wrong = CliRunner().invoke(app, ["train", "recipe.yaml", "--data", "rows.jsonl", "--backend", "toyhost:m"])
    assert "the section 'grid' is read by `ftkit sweep`" in wrong.output


@pytest.mark.slow
def test_a_sweep_on_this_machine_survives_its_script(data: ft.Dataset, tiny_model: str) -> None:
    code = (
        "import sys, ftkit as ft\n"
        "from typing import Literal\n"
        "from tests.evaluation.test_sweep import ROWS, TASK\n"
        "data = ft.Dataset.from_rows(ROWS, TASK, target='a')\n"
        "overview = ft.sweep(ft.SFT(epochs=3, batch_size=4), data, data, backends='local:' + sys.argv[1],\n"
        "    grid={'learning_rate': [1e-4, 1e-3, 1e-2], 'adapter.rank': [4, 8]}, name='tiny')\n"
        "print('DONE', overview.price, len(overview.reports))\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code, tiny_model], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(ft.runs.all("tag=tiny")) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    first.kill()
    first.wait()
    done = subprocess.run([sys.executable, "-c", code, tiny_model], capture_output=True, text=True, check=False)
    assert "DONE seconds of training 6" in done.stdout, done.stderr[-2000:]
    assert len(ft.runs.all()) == 6
