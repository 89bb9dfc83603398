"""Runs on another machine: the same as here, whatever happens to the connection."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.store import Store
from tests.runs.test_runs import ROWS, TASK, until

RECIPE = ft.SFT(epochs=2, batch_size=8, learning_rate=5e-3, adapter=ft.LoRA(rank=4))


@pytest.fixture
def data() -> ft.Dataset:
    return ft.Dataset.from_rows(ROWS, TASK, target="a")


def there(tmp_path: Path) -> Store:
    """The store of the other machine."""
    return Store(tmp_path / "there" / "home")


def test_a_run_there_is_a_run_here_and_its_model_can_be_fetched(
    machine: Callable[..., ft.SSH], data: ft.Dataset, tiny_model: str, tmp_path: Path, line: Any
) -> None:
    run = ft.train(RECIPE, data, backend=machine(tiny_model), validation=data.take(4))
    assert run.record.handle["machine"] in f"{run.record.backend}:{run.record.model}"
    run.wait(timeout_s=200)
    assert [step["step"] for step in run.metrics] == [1, 2, 3, 4, 5, 6]
    assert {"state", "log", "step", "validation"} <= {event.kind for event in run.events()}
    assert run.record.summary["steps"] == 6
    (record,) = there(tmp_path).all()
    assert (record.id, record.backend, record.data_fingerprint) == (run.id, "local", data.fingerprint)
    assert "step" in run.log()
    assert run.log() == (there(tmp_path).run_folder(run.id) / "log.txt").read_text()

    model = run.model
    assert model.task.fingerprint == data.task.fingerprint
    line.cut_after = 60_000
    fetched = run.download(tmp_path / "fetched")
    assert fetched.task.fingerprint == data.task.fingerprint
    made = there(tmp_path).run_folder(run.id) / "model"
    names = [file.name for file in sorted(made.iterdir())]
    assert names == [file.name for file in sorted((tmp_path / "fetched").iterdir())]
    assert all((made / name).read_bytes() == (tmp_path / "fetched" / name).read_bytes() for name in names)
    with pytest.raises(ft.RunError, match="is not an empty folder"):
        run.download(tmp_path / "fetched")

    ft.runs.delete(run.id)
    assert there(tmp_path).all() == []


@pytest.mark.slow
def test_only_the_missing_answers_are_asked_again(machine: Callable[..., ft.SSH], tiny_model: str, line: Any) -> None:
    model = ft.Model(machine(tiny_model), TASK, sampling=ft.Sampling(max_output_tokens=4, temperature=1.0, seed=3))
    requests = [ft.Request(TASK.prompt({"q": f"{n}?"})) for n in range(60)]
    whole = model.answer_many(requests)
    assert all(answer.output_tokens for answer in whole)
    assert model.about()["machine"] == "box"
    told: list[int] = []

    def cut_once(number: int, answer: ft.Answer) -> None:
        told.append(number)
        if len(told) == 10:
            line.cut()

    assert [answer.text for answer in model.answer_many(requests, on_answer=cut_once)] == [each.text for each in whole]
    assert sorted(told) == list(range(60))


@pytest.mark.slow
def test_a_report_from_there_is_that_from_here(
    machine: Callable[..., ft.SSH], tiny_model: str, data: ft.Dataset
) -> None:
    sampling = ft.Sampling(max_output_tokens=4, temperature=1.0, seed=3)
    models = [ft.Model(place, TASK, sampling=sampling) for place in (f"local:{tiny_model}", machine(tiny_model))]
    here, there = (ft.evaluate(model, data, probes=None, progress=False) for model in models)
    assert [(each.name, each.value) for each in there.metrics] == [(each.name, each.value) for each in here.metrics]
    assert [row.text for row in there.rows] == [row.text for row in here.rows]


@pytest.mark.slow
def test_a_reward_model_and_reinforcement_train_there(
    machine: Callable[..., ft.SSH], tiny_model: str, tmp_path: Path
) -> None:
    pairs = [{"prompt": f"{n}?", "chosen": f"yes {n}", "rejected": "no"} for n in range(8)]
    preferences = ft.Dataset.from_rows(pairs, ft.Task())
    backend = machine(tiny_model)
    scored = ft.train(ft.RewardModel(epochs=1, adapter=ft.LoRA(rank=2)), preferences, backend=backend)
    scored.wait(timeout_s=250)
    scorer = ft.Scorer(f"ssh:{backend.machine}#{scored.id}")
    here = ft.Scorer(f"local:{there(tmp_path).run_folder(scored.id) / 'model'}")
    turns = [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "yes"}]
    assert scorer.score(turns) == pytest.approx(here.score(turns), abs=1e-5)

    grader = ft.TextSimilarityGrader(
        name="near", input="{{sample.output_text}}", reference="{{item.a}}", evaluation_metric="fuzzy_match"
    )
    sampled = {"num_generations": 2, "max_output_tokens": 4, "probe_prompts": 0}
    recipe = ft.RFT(grader=grader, epochs=1, batch_size=4, adapter=ft.LoRA(rank=2), **sampled)
    data = ft.Dataset.from_rows(ROWS[:8], TASK, target="a")
    rewarded = ft.train(recipe, data, backend=backend, lint=False).wait(timeout_s=250)
    assert rewarded.metrics
    samples = [base / "runs" / rewarded.id / "samples.jsonl" for base in (tmp_path / "home", tmp_path / "there/home")]
    assert samples[0].read_text() == samples[1].read_text() != ""


SCRIPT = """
import sys
import ftkit as ft
rows = [{"q": f"What is {n} plus one?", "a": str(n + 1)} for n in range(24)]
data = ft.Dataset.from_rows(rows, ft.Task("Answer with a number.", input="{q}"), target="a")
recipe = ft.SFT(epochs=int(sys.argv[2]), batch_size=8, save_steps=1, adapter=ft.LoRA(rank=4))
run = ft.train(recipe, data, backend=sys.argv[1])
print(run.id, flush=True)
run.wait()
"""


@pytest.mark.slow
def test_another_process_finds_cancels_and_resumes_the_run_of_a_killed_script(
    machine: Callable[..., ft.SSH], tiny_model: str, tmp_path: Path, line: Any
) -> None:
    backend = machine(tiny_model)
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, f"ssh:{backend.model}", "20"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    assert script.stdout is not None
    run = ft.runs.get(script.stdout.readline().strip())
    script.kill()
    script.wait()
    until(lambda: len(run.metrics) > 2)

    line.cut(down=True)
    until(lambda: any("the connection is tried again" in str(event.data) for event in run.events()))
    assert run.state == "running"
    line.down = False
    until(lambda: any("is up again" in str(event.data) for event in run.events()))

    line.cut_after = 400  # while it is asked to
    assert run.cancel().state == "cancelled"
    done = run.metrics[-1]["step"]
    assert 2 < done < 60
    line.cut_after = 400
    run.resume()
    run.wait(timeout_s=200)
    assert [step["step"] for step in run.metrics] == list(range(1, 61))
    seen = [event.data["step"] for event in run.events() if event.kind == "step"]
    assert seen.count(done + 1) == 1
    (record,) = there(tmp_path).all()
    assert record.state == "succeeded"
    events = [event for event in there(tmp_path).events(record.id) if event.kind != "state"]
    mirrored = [event for event in run.events() if event.kind != "state" and "the connection" not in str(event.data)]
    assert [(event.kind, event.data, event.at) for event in mirrored] == [(e.kind, e.data, e.at) for e in events]


@pytest.mark.slow
def test_a_run_is_started_once_however_often_the_line_is_cut(
    machine: Callable[..., ft.SSH], data: ft.Dataset, tiny_model: str, tmp_path: Path, line: Any
) -> None:
    backend = machine(tiny_model)
    backend.check(RECIPE, data, None)  # sends the code and the rows
    call, cuts = backend._session.call, []

    def cut_under_it(name: str, **arguments: Any) -> Any:
        if name == "submit":
            cuts.append(name)
            line.cut_after = 1_500  # the question arrives, its answer does not
        return call(name, **arguments)

    backend._session.call = cut_under_it  # type: ignore[method-assign]
    run = ft.train(RECIPE, data, backend=backend)
    assert cuts == ["submit"]
    assert run.record.handle["sent"]
    backend._session.call = call  # type: ignore[method-assign]
    with pytest.raises(ft.RunError, match="another run"):
        call("submit", run_id=run.id, key="another", model=tiny_model, job={}, workers=1)
    run.cancel()
    assert len(there(tmp_path).all()) == 1
    starts = [event for event in there(tmp_path).events(run.id) if event.data.get("state") == "queued"]
    assert len(starts) == 1


@pytest.mark.slow
def test_a_job_that_never_arrived_is_sent_again_by_resume(
    machine: Callable[..., ft.SSH], data: ft.Dataset, tiny_model: str, tmp_path: Path, line: Any, monkeypatch: Any
) -> None:
    backend = machine(tiny_model)
    call = backend._session.call
    lost: list[str] = []

    def lose(name: str, **arguments: Any) -> Any:
        if name == "submit" and not lost:
            lost.append(name)
            raise ft.HostError("the connection to box is down", passing=True, unsure=True)
        return call(name, **arguments)

    monkeypatch.setattr(backend._session, "call", lose)
    run = ft.train(RECIPE, data, backend=backend)
    assert run.state == "failed"
    assert "nothing was started" in str(run.record.error)
    run.resume()
    assert run.record.state in ("queued", "running")
    assert run.record.handle["sent"]
    run.cancel()
    assert [record.id for record in there(tmp_path).all()] == [run.id]


def test_what_the_machine_refuses_is_refused_before_anything_is_started(
    machine: Callable[..., ft.SSH], data: ft.Dataset, tiny_model: str, tmp_path: Path
) -> None:
    recipe = ft.SFT(optimizer="paged_adamw_8bit")
    with pytest.raises(ft.RefusedError, match="box has no CUDA GPU") as refused:
        ft.train(recipe, data, backend=machine(tiny_model))
    assert (refused.value.backend, refused.value.fields) == ("ssh", ("optimizer",))
    with pytest.raises(ft.ModelError, match="on box: there is no model nothing-here"):
        ft.train(RECIPE, data, backend=machine("nothing-here"))
    with pytest.raises(ft.ConfigError, match="box has no interpreter '/no/python'"):
        ft.train(RECIPE, data, backend=machine(tiny_model, python="/no/python"))
    assert Store().all() == there(tmp_path).all() == []


@pytest.mark.slow
def test_a_plan_is_that_of_the_machine(machine: Callable[..., ft.SSH], data: ft.Dataset, tiny_model: str) -> None:
    planned = machine(tiny_model).estimate(RECIPE, data, None)
    assert planned.tokens_per_epoch > 0
    assert planned.steps == 6


@pytest.mark.slow
def test_the_secrets_of_this_environment_stay_here(
    machine: Callable[..., ft.SSH], data: ft.Dataset, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-stays-here")
    run = ft.train(RECIPE, data, backend=machine(tiny_model))
    run.cancel()
    kept = [file for file in (tmp_path / "there").rglob("*") if file.is_file() and "code" not in file.parts]
    assert kept
    assert not any(b"sk-stays-here" in file.read_bytes() for file in kept)
    assert not any(file.stat().st_mode & 0o077 for file in (tmp_path / "there").iterdir() if file.is_dir())
