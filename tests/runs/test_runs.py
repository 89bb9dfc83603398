"""Runs with real workers: they outlive who started them, are found again, and never end without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.local import LocalBackend
from ftkit.store import Store

ROWS = [{"q": f"What is {n} plus one?", "a": str(n + 1)} for n in range(24)]
TASK = ft.Task("Answer with a number.", input="{q}")

SCRIPT = """
import sys
import ftkit as ft
rows = [{"q": f"What is {n} plus one?", "a": str(n + 1)} for n in range(24)]
data = ft.Dataset.from_rows(rows, ft.Task("Answer with a number.", input="{q}"), target="a")
recipe = ft.SFT(epochs=int(sys.argv[2]), batch_size=8, adapter=ft.LoRA(rank=4))
run = ft.train(recipe, data, backend="local:" + sys.argv[1])
print(run.id, flush=True)
run.wait()
"""


@pytest.fixture
def data() -> ft.Dataset:
    return ft.Dataset.from_rows(ROWS, TASK, target="a")


def until(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.2)


def test_a_run_ends_with_a_model_that_any_process_finds(data: ft.Dataset, tiny_model: str) -> None:
    recipe = ft.SFT(epochs=2, batch_size=8, learning_rate=5e-3, adapter=ft.LoRA(rank=4))
    run = ft.train(recipe, data, backend=f"local:{tiny_model}", validation=data.take(4))
    assert run.state in ("queued", "running")
    with pytest.raises(ft.RunError, match=r"still \w+; call run\.wait\(\)"):
        _ = run.model
    run.wait(timeout_s=200)

    assert run.state == "succeeded"
    assert [step["step"] for step in run.metrics] == [1, 2, 3, 4, 5, 6]
    assert run.metrics[-1]["loss"] < run.metrics[0]["loss"]
    kinds = {event.kind for event in run.follow()}
    assert {"state", "log", "step", "validation"} <= kinds
    assert run.record.summary["steps"] == 6
    assert run.recipe == recipe
    made = run.folder / "model"
    names = {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "chat_template.jinja", "ftkit.json"}
    assert names | {"generation_config.json", "README.md"} <= {file.name for file in made.iterdir()}

    code = (
        "import sys, ftkit as ft\n"
        "run = ft.runs.get(sys.argv[1])\n"
        "model = ft.Model('local:' + run.id, sampling=ft.Sampling(max_output_tokens=3))\n"
        "print(run.state, model.task.instructions, len(model.answer_many([ft.Request(model.task.prompt({'q': 'x'}))])))"
    )
    said = subprocess.run([sys.executable, "-c", code, run.id[:-2]], capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[0] == "succeeded Answer with a number. 1"

    ft.runs.delete(run.id)
    assert not run.folder.exists()
    with pytest.raises(ft.RunNotFoundError):
        ft.runs.get(run.id)


def test_a_run_outlives_the_script_and_a_dead_worker_is_noticed(tiny_model: str) -> None:
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, tiny_model, "5000"], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert script.stdout is not None
    run = ft.runs.get(script.stdout.readline().strip())
    until(lambda: run.metrics)
    script.kill()
    script.wait()
    seen = len(run.metrics)
    until(lambda: len(run.metrics) > seen + 3)
    assert run.state == "running"

    os.kill(run.record.handle["pid"], signal.SIGKILL)
    until(lambda: run.state != "running", 20)
    assert run.state == "failed"
    said = r"ended without a message after step \d+ of \d+: .*`ftkit runs resume \S+` .*\. Its log is \S+log\.txt$"
    with pytest.raises(ft.RunFailedError, match=said):
        run.wait()
    assert run.events()[-1].kind == "error"


@pytest.mark.slow
def test_a_cancelled_run_has_no_model(data: ft.Dataset, tiny_model: str) -> None:
    run = ft.train(ft.SFT(epochs=5000, adapter=ft.LoRA(rank=4)), data, backend=f"local:{tiny_model}")
    with pytest.raises(ft.RunError, match="it continues"):
        run.wait(timeout_s=0.5)
    until(lambda: run.metrics)
    run.cancel()
    assert run.state == "cancelled"
    with pytest.raises(ft.RunCancelledError):
        run.wait()
    with pytest.raises(ft.RunCancelledError):
        _ = run.model
    assert run.cancel().state == "cancelled"


@pytest.mark.slow  # tests/training/test_killing.py and tests/server/test_jobs.py do each of these
def test_a_run_is_resumed_after_a_kill_and_after_a_cancellation(data: ft.Dataset, tiny_model: str) -> None:
    recipe = ft.SFT(epochs=15, batch_size=8, adapter=ft.LoRA(rank=4), save_steps=1)
    whole = ft.train(recipe, data, backend=f"local:{tiny_model}").wait(timeout_s=200)
    run = ft.train(recipe, data, backend=f"local:{tiny_model}")
    with pytest.raises(ft.RunError, match="only one that was paused, cancelled or failed can be resumed"):
        run.resume()
    until(lambda: len(run.metrics) > 5)
    os.kill(run.record.handle["pid"], signal.SIGKILL)
    until(lambda: run.state == "failed", 20)
    run.resume()
    until(lambda: len(run.metrics) > 20)
    run.cancel()
    if run.state == "cancelled":
        assert "continues from there" in str(run.events()[-1].data)
        ft.runs.get(run.id).resume()
    run.wait(timeout_s=200)
    assert [step["step"] for step in run.metrics] == list(range(1, 46))
    tuned, expected = (one.folder / "model" / "adapter_model.safetensors" for one in (run, whole))
    assert tuned.read_bytes() == expected.read_bytes()
    with pytest.raises(ft.RunError, match="is succeeded"):
        run.resume()


@pytest.mark.slow
def test_of_two_who_resume_a_run_one_starts_a_worker(data: ft.Dataset, tiny_model: str) -> None:
    run = ft.train(ft.SFT(epochs=30, batch_size=8, adapter=ft.LoRA(rank=4)), data, backend=f"local:{tiny_model}")
    until(lambda: run.metrics)
    record = run.cancel().record
    assert record.state == "cancelled"
    backend, store, together = LocalBackend(tiny_model), Store(), threading.Barrier(4)

    def resume() -> None:
        together.wait()
        backend.resume(record, store)

    several = [threading.Thread(target=resume) for _ in range(4)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    run.wait(timeout_s=200)
    loaded = [event for event in run.events() if event.data.get("message") == "loading the model"]
    assert len(loaded) == 2  # by the first worker, and by one more


def test_what_only_the_worker_can_know_comes_back_with_its_place(tiny_model: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"q": "a", "a": "b"}\n{"q": "' + "long " * 600 + '", "a": "b"}\n')
    data = ft.Dataset.load(file, TASK, target="a")
    run = ft.train(ft.SFT(), data, backend=f"local:{tiny_model}")
    with pytest.raises(ft.RunFailedError, match=r"rows\.jsonl:2: the row has \d+ tokens, and the limit is 512"):
        run.wait(timeout_s=200)
    assert "rows.jsonl:2" in run.log()


def test_what_can_be_known_is_refused_before_anything_starts(data: ft.Dataset, tiny_model: str) -> None:
    backend = f"local:{tiny_model}"
    with pytest.raises(ft.RefusedError, match="no CUDA GPU") as caught:
        ft.train(ft.SFT(optimizer="paged_adamw_8bit"), data, backend=backend)
    assert caught.value.fields == ("optimizer",)
    with pytest.raises(ft.ModelError, match="no folder '/nowhere'"):
        ft.train(ft.SFT(), data, backend="local:/nowhere")
    with pytest.raises(ft.ConfigError, match="AdaLoRA needs steps"):
        ft.train(ft.SFT(epochs=1, batch_size=24, adapter=ft.AdaLoRA()), data, backend=backend)
    with pytest.raises(ft.DataError, match="another task"):
        ft.train(ft.SFT(), data, backend=backend, validation=ft.Dataset.from_rows(ROWS, ft.Task("B", input="{q}")))
    with pytest.raises(ft.DataError, match="no rows"):
        ft.train(ft.SFT(), data.take(0), backend=backend)
    assert ft.runs.all() == []


class Idle:
    """A backend that starts nothing."""

    name, model = "idle", "m"

    def check(self, *given: object) -> None:
        pass

    submit = refresh = check


@pytest.mark.parametrize("lint", [True, False])
def test_columns_that_nothing_reads_are_a_warning_of_the_run(ftkit_home: Path, lint: bool) -> None:
    turns = [[{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": str(n)}] for n in range(3)]
    rows = [{"messages": messages, "context": "c", "id": n, "label": "x"} for n, messages in enumerate(turns)]
    run = ft.train(ft.SFT(), ft.Dataset.from_rows(rows), backend=Idle(), lint=lint)  # type: ignore[arg-type]
    (event,) = [event for event in Store().events(run.id) if event.kind == "warning"]
    assert event.data["message"] == (
        "columns that nothing reads, with their number of rows: context (3), label (3). If the answers need one of "
        "them, put it into the messages"
    )
    read = [{"messages": messages} for messages in turns]
    run = ft.train(ft.SFT(), ft.Dataset.from_rows(read), backend=Idle(), lint=lint)  # type: ignore[arg-type]
    assert "warning" not in [event.kind for event in Store().events(run.id)]
