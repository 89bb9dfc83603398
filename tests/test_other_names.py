"""Names and calls of other tools are answered with ftkit's own."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.recipe import parse_recipe
from ftkit.testing import FakeModel

TASK = ft.Task("Is it urgent?", input="{note}")
MODEL = "local:smollm2-135m"


@pytest.fixture
def data() -> ft.Dataset:
    return ft.Dataset.from_rows([{"note": f"{number}", "answer": "yes"} for number in range(20)], TASK, target="answer")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ft.SFT(lr=1e-4), "lr is learning_rate here"),
        (lambda: ft.SFT(num_train_epochs=3), "num_train_epochs is epochs here"),
        (lambda: ft.SFT(per_device_train_batch_size=8), "per_device_train_batch_size is batch_size here"),
        (lambda: ft.SFT(gradient_accumulation_steps=8), "batch_size is the rows of a step"),
        (lambda: ft.SFT(peft_config=ft.LoRA()), "peft_config is adapter here"),
        (lambda: ft.SFT(load_in_4bit=True), "write adapter=QLoRA()"),
        (lambda: ft.LoRA(r=8), "r is rank here"),
        (lambda: ft.LoRA(use_dora=True), r"write adapter=DoRA\(\)"),
        (lambda: ft.SFT(lora_r=8), r"a field of the adapter: adapter=LoRA\(rank=…\)"),
        (lambda: ft.SFT(learning_rate_multiplier=2), "learning_rate is an absolute number"),
        (lambda: ft.SFT(deepspeed="z3.json"), "workers=8"),
        (lambda: ft.Sampling(top_k=5), "top_p limits"),
        (lambda: ft.LoRA(alpha=8), "alpha is lora_alpha here"),
        (lambda: ft.Sampling(max_new_tokens=8), "max_new_tokens is max_output_tokens here"),
        (lambda: ft.Sampling(do_sample=False), "temperature=0 is greedy"),
        (lambda: ft.SFT(learning_rat=1e-4), "did you mean learning_rate?"),
        (lambda: ft.SFT(3), r"SFT takes its fields by name: SFT\(epochs=3\)"),
        (lambda: ft.LoRA(8), r"LoRA takes its fields by name: LoRA\(rank=8\)"),
        (lambda: ft.Task("a", "b"), r"Task takes fewer arguments without a name; write ft.Task\("),
        (lambda: parse_recipe({"kind": "sft", "adapter": "qlora"}), r"QLoRA\(\) in Python, and adapter: {kind: qlora}"),
    ],
)
def test_a_name_of_another_tool_is_answered_with_ours(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ft.ConfigError, match=says):
        call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda data: ft.evaluate(None, data, max_output_tokens=8), r"sampling=ft.Sampling\(max_output_tokens=8\)"),
        (lambda data: ft.evaluate(None, data, max_new_tokens=8), "max_new_tokens is max_output_tokens here"),
        (lambda data: ft.evaluate(None, data, concurrency=8), r"asking=ft.RequestOptions\(concurrency=8\)"),
        (lambda data: ft.evaluate(None, data, metric="bleu"), "did you mean metrics?"),
        (lambda data: ft.train(ft.SFT(), data, backend=MODEL, epochs=3), r"recipe=ft.SFT\(epochs=3\)"),
        (lambda data: ft.train(ft.SFT(), data, model="x"), 'backend="local:<model>"'),
        (lambda data: ft.train(ft.SFT(), data, MODEL), r"train needs backend=; write ft.train\(recipe"),
        (lambda data: ft.evaluate(None, data, "auto"), r"fewer arguments without a name; write ft.evaluate\("),
        (lambda data: ft.train(ft.SFT(), data), r"train needs backend=; write ft.train\(recipe"),
        (lambda data: ft.plan(ft.SFT(), data, MODEL, batch_size=8), r"recipe=ft.SFT\(batch_size=8\)"),
        (lambda data: ft.Model(MODEL, data.task).predict("x"), r"by name: model.predict\(note="),
        (lambda data: ft.Model(MODEL, data.task, temperature=1), r"sampling=ft.Sampling\(temperature=1\)"),
        (
            lambda data: ft.train(ft.SFT(), data, num_train_epochs=3),
            r"a field: recipe=ft.SFT\(epochs=3\)",
        ),
        (lambda data: ft.train(ft.SFT(), data, eval_dataset=data), "eval_dataset is validation here"),
        (lambda data: data.split(test_size=0.2), "test_size is test here"),
        (lambda data: data.split(0.2, random_state=1), "random_state is seed here"),
        (lambda data: ft.Dataset.load("rows.jsonl", split="train"), "read each split from its own file"),
        (lambda data: ft.Dataset([{"note": "a"}]), r"write ft.Dataset.load\(path, task\) or"),
        (lambda data: ft.lint(), r"lint needs train; write ft.lint\(train, test\)"),
        (lambda data: ft.sweep(ft.SFT(), data, data, backend=MODEL), r"sweep needs backends=; write ft.sweep\("),
        (lambda data: ft.sweep(ft.SFT(), data, data, backends=MODEL, grid={"adapter.r": [1]}), "r is rank here"),
        (lambda data: ft.Model(MODEL, data.task).predict(note="x", temperature=1), r"ft.Sampling\(temperature=…\)"),
        (
            lambda data: ft.Model(MODEL, data.task).predict(note="x", max_tokens=8),
            r"Sampling\(max_output_tokens=…\)",
        ),
        (
            lambda data: ft.Model(MODEL, data.task).predict_many(["x"]),
            r'pass its columns by name: {"note": …}',
        ),
        (lambda data: ft.Model(MODEL, data.task).predict_many({"note": "x"}), "rows is a dict; pass a list of rows"),
        (lambda data: data["note"], r"\[row.columns\['note'\] for row in data\]"),
        (lambda data: data[1.5], r"by number or slice, not by float: data\[0\]"),
        (lambda data: data[[0, 1]], r"not by list"),
    ],
)
def test_a_call_that_does_not_fit_names_the_right_one(
    call: Callable[[Any], object], says: str, data: ft.Dataset
) -> None:
    with pytest.raises(ft.ConfigError, match=says):
        call(data)


def test_every_public_function_explains_an_argument_that_it_does_not_know() -> None:
    functions = [getattr(ft, name) for name in ft.__all__ if inspect.isfunction(getattr(ft, name))]
    bare = []
    for function in functions:
        try:
            function(no_such_argument=1)
        except ft.ConfigError:
            continue
        except TypeError:
            bare.append(function.__name__)
    assert bare == []


def test_the_call_that_an_error_proposes_fits_the_function() -> None:
    functions = [getattr(ft, name) for name in ft.__all__ if inspect.isfunction(getattr(ft, name))]
    proposed = 0
    for function in functions:
        try:
            function(*range(30))
        except (ft.ConfigError, TypeError) as error:
            said = str(error).rpartition("; write ")[2]
            if said.startswith("ft."):
                call = ast.parse(said, mode="eval").body
                assert isinstance(call, ast.Call)
                inspect.signature(function).bind(*call.args, **{str(one.arg): one for one in call.keywords})
                proposed += 1
    assert proposed > 10


def test_a_column_with_the_name_of_an_option_is_a_column() -> None:
    task = ft.Task("Is it fever?", input="{temperature}")
    assert FakeModel(task, {"39.5": "yes"}).predict(temperature=39.5) == "yes"
    assert FakeModel(TASK, {"a": "yes"}).predict_many([{"note": "a", "temperature": 39.5}]) == ["yes"]


def test_a_type_error_inside_of_a_function_stays_what_it_is(data: ft.Dataset) -> None:
    def metric(result: object) -> float:
        raise TypeError("the metric is broken")

    class Answers:
        def __getattr__(self, name: str) -> object:
            raise TypeError("the model is broken")

    with pytest.raises(TypeError, match="the model is broken"):
        ft.evaluate(Answers(), data, metrics=metric, probes=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("head", r"data\.take\(5\)"),
        ("map", "from_rows"),
        ("to_pandas", "pandas.DataFrame"),
        ("train_test_split", "data.split"),
        ("num_rows", r"len\(data\)"),
        ("nonsense", "no attribute 'nonsense'$"),
    ],
)
def test_a_method_of_pandas_or_datasets_is_answered_with_ours(name: str, says: str, data: ft.Dataset) -> None:
    with pytest.raises(AttributeError, match=says):
        getattr(data, name)


@pytest.mark.parametrize(
    ("module", "name", "says"),
    [
        (ft, "LoraConfig", r"use ft\.LoRA$"),
        (ft, "SFTConfig", r"use ft\.SFT$"),
        (ft, "load_dataset", r"use ft\.Dataset\.load$"),
        (ft, "Lora", r"did you mean LoRA\?$"),
        (ft.runs, "list", r"use ft\.runs\.all\(\)$"),
        (ft.runs, "tables", "it has RewardSignal, Run, "),
    ],
)
def test_a_module_names_what_has_the_place_of_another_name(module: Any, name: str, says: str) -> None:
    with pytest.raises(AttributeError, match=says):
        getattr(module, name)


def test_columns(data: ft.Dataset) -> None:
    assert data.columns == ("note", "answer")


def test_from_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"note": ["a", "b"], "age": [3, None], "seen": pandas.to_datetime(["2026-01-02", None]), "answer": ["x", "y"]}
    )
    rows = ft.Dataset.from_pandas(frame, TASK, target="answer")
    assert [row.target for row in rows] == ["x", "y"]
    assert [row.columns["age"] for row in rows] == [3, None]
    assert [row.columns["seen"] is None for row in rows] == [False, True]
    with pytest.raises(ft.ConfigError, match="takes a pandas DataFrame, not a list"):
        ft.Dataset.from_pandas([{"note": "a"}], TASK)
    frame.columns = ["note", "note", "seen", "answer"]
    with pytest.raises(ft.ConfigError, match="two columns are named 'note'"):
        ft.Dataset.from_pandas(frame, TASK)


def test_from_hf_and_the_name_of_a_folder_that_datasets_reads(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"note": "a", "answer": "x"}])
    assert [row.target for row in ft.Dataset.from_hf(rows, TASK, target="answer")] == ["x"]
    parts = datasets.DatasetDict({"train": rows, "test": rows})
    with pytest.raises(ft.ConfigError, match=r"several splits \(train, test\); name one"):
        ft.Dataset.from_hf(parts, TASK)
    (tmp_path / "train.jsonl").write_text(json.dumps({"note": "b", "answer": "z"}) + "\n")
    found = ft.Dataset.load(f"hf://{tmp_path}?split=train", TASK, target="answer")
    assert [row.target for row in found] == ["z"]
    with pytest.raises(ft.ConfigError, match="the options are config, split, revision"):
        ft.Dataset.load("hf://owner/name?spilt=train", TASK)


def test_a_name_on_the_hub_that_cannot_be_had_is_one_error() -> None:
    pytest.importorskip("datasets")
    with pytest.raises(ft.DataError, match=r"hf://owner/nowhere cannot be loaded: "):
        ft.Dataset.load("hf://owner/nowhere", TASK)


def test_a_file_of_splits_says_how_to_load_one(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"train": [{"note": "a"}], "test": []}))
    with pytest.raises(ft.FormatError, match=r"from_rows\(json.load\(file\)\['train'\], task\)"):
        ft.Dataset.load(path, TASK)


def test_public_types_are_there_and_a_typo_is_answered() -> None:
    for name in ("Recipe", "Adapter", "Overview", "Diagnosis", "LearningCurve", "Event", "Asking", "RequestOptions"):
        assert name in dir(ft)
        assert isinstance(getattr(ft, name), type)
    with pytest.raises(AttributeError, match=r"did you mean LoRA\?"):
        getattr(ft, "Lora")  # noqa: B009
    public = ["RewardSignal", "Run", "Tracker", "all", "delete", "get", "plot", "reward_signal", "table", "train"]
    assert dir(ft.runs) == public


@pytest.mark.slow
def test_a_type_checker_knows_names_and_arguments(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import ftkit as ft\n"
        "recipe = ft.SFT(adapter=ft.LoRA(rank=8))\n"
        "data = ft.Dataset.load('rows.jsonl')\n"
        "ft.Lora\n"
        "ft.train(recipe, data, backend=3)\n"
        "ft.SFT(lr=3)\n"
        "data.head()\n"
        "data[0:3].take(2).write_openai('x')\n"
        "data.split(test=0.1)[0].to_spec()\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    wrong = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line}
    assert wrong == {4, 5, 6, 7}, done.stdout
