"""Weights of which each worker holds a part. Several workers: tests/training/test_worker_group.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ftkit as ft
from ftkit.backends.local import LocalBackend
from ftkit.training.job import Job, train
from ftkit.training.progress import TrainingStopped
from ftkit.training.worker_group import ALONE, WorkerGroup
from tests.training.test_training import rows

RECIPE = ft.SFT(
    epochs=1,
    batch_size=4,
    learning_rate=1e-3,
    precision="fp32",
    adapter=ft.Full(),
    gradient_checkpointing=True,
    ema_decay=0.5,
)


@pytest.fixture(scope="module")
def sharded() -> Iterator[WorkerGroup]:
    """A group of one worker, which holds the only part."""
    distributed: Any = torch.distributed
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield WorkerGroup.of_process_group("fsdp2")
    distributed.destroy_process_group()


def test_sharded_and_whole_weights_take_the_same_steps_and_each_resumes_the_other(
    sharded: WorkerGroup, tiny_model: str, tmp_path: Path
) -> None:
    losses: dict[str, list[float]] = {}

    def run(name: str, *groups: WorkerGroup) -> dict[str, torch.Tensor]:
        """Train 3 steps, each with another group if several are given."""
        job = Job(RECIPE, rows(10), rows(2), tiny_model, tmp_path / name)
        losses[name] = []

        def keep(kind: str, data: dict[str, Any]) -> None:
            if kind in ("step", "validation"):
                losses[name].append(data["loss"])

        for group in groups[:-1]:
            asked = iter([False, True])
            with contextlib.suppress(TrainingStopped):
                train(job, keep, lambda asked=asked: next(asked), workers=group)  # type: ignore[misc]
        train(job, keep, workers=groups[-1])
        return load_file(tmp_path / name / "model.safetensors")

    whole = run("whole", ALONE)
    found = run("mixed", ALONE, sharded, ALONE)
    assert found.keys() == whole.keys()
    assert losses["mixed"] == pytest.approx(losses["whole"], rel=1e-5)
    for tensor, value in whole.items():
        assert found[tensor].dtype == value.dtype
        torch.testing.assert_close(found[tensor], value, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("adapter", [ft.LoRA(rank=4), ft.QLoRA(rank=4)])
def test_an_adapter_is_trained_on_a_model_in_parts(
    adapter: ft.Adapter, sharded: WorkerGroup, tiny_model: str, tmp_path: Path
) -> None:
    recipe = ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2, precision="fp32", adapter=adapter)
    losses: list[list[float]] = []
    for number, group in enumerate((ALONE, sharded)):
        losses.append([])

        def keep(kind: str, data: dict[str, Any]) -> None:
            if kind == "step":
                losses[-1].append(data["loss"])

        train(Job(recipe, rows(10), None, tiny_model, tmp_path / str(number)), keep, workers=group)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[1][-1] < losses[1][0]
    whole, found = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("0", "1"))
    for tensor, value in whole.items():
        torch.testing.assert_close(found[tensor], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "field", "problem"),
    [
        ({"preserve": ft.Preserve()}, "preserve", "the whole model of before"),
    ],
)
def test_what_cannot_be_sharded_is_refused_by_name(
    changed: dict[str, Any], field: str, problem: str, tiny_model: str
) -> None:
    with pytest.raises(ft.RefusedError, match=problem) as refused:
        LocalBackend(tiny_model, workers=2, strategy="fsdp2").check(
            ft.SFT(**{"adapter": ft.Full(), **changed}), rows(4), None
        )
    assert refused.value.fields == ("strategy", field)
    for recipe in (RECIPE, RECIPE.model_copy(update={"adapter": ft.QLoRA()})):
        LocalBackend(tiny_model, workers=2, strategy="fsdp2").check(recipe, rows(4), None)


def test_a_strategy_that_is_none_is_refused(tiny_model: str) -> None:
    with pytest.raises(ft.ConfigError, match='strategy=\'fsdp\': write "ddp" or "fsdp2"'):
        LocalBackend(tiny_model, strategy="fsdp")
