"""Several workers take the steps of one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from ftkit.training.job import Job, train
from ftkit.training.loss_computer import LossComputer
from ftkit.training.shares import balanced_shares
from ftkit.training.worker_group import ALONE, WorkerGroup
from tests.training.test_training import recipe, rows
from tests.training.two_workers import ADAPTERS, jobs, run_all


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 9))
def test_shares_hold_each_item_once_and_cost_about_the_same(sizes: list[int], workers: int) -> None:
    shares = balanced_shares(sizes, workers)
    assert len(shares) == workers
    assert sorted(index for share in shares for index in share) == list(range(len(sizes)))
    costs = [sum(sizes[index] for index in share) for share in shares]
    assert max(costs) - min(costs) <= max(sizes, default=0)


def test_the_gradients_of_all_shares_sum_to_that_of_the_batch(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each share is computed here in turn, in place of a worker of its own."""
    compute, compared = LossComputer.compute, []

    def check(self: LossComputer, packs: Sequence[Any], size: float, backward: Any) -> tuple[float, dict[str, float]]:
        examples = [example for _, packed in packs for example in packed]
        whole = compute(self, packs, size, backward)
        parameters = list(self.adapted.parameters.values())
        gradients = [parameter.grad for parameter in parameters]
        if all(gradient is None for gradient in gradients):  # a validation
            return whole
        for parameter in parameters:
            parameter.grad = None
        losses = []
        for rank in range(3):
            self.workers = WorkerGroup(rank, 3)
            share = self.packs(examples)
            self.workers = ALONE
            losses.append(compute(self, share, size, backward)[0])
        assert sum(losses) == pytest.approx(whole[0], rel=1e-5)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)
        compared.append(len(examples))
        return whole

    monkeypatch.setattr(LossComputer, "compute", check)
    train(Job(recipe(epochs=1), rows(10), None, tiny_model, tmp_path / "m"), lambda kind, data: None)
    assert compared == [4, 4, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "strategy"), [(2, "ddp"), (4, "ddp"), (2, "fsdp2"), (3, "fsdp2"), (2, ADAPTERS), (3, ADAPTERS)]
)
def test_several_workers_train_as_one_does(size: int, strategy: str, tiny_model: str, tmp_path: Path) -> None:
    together = tmp_path / "together"
    together.mkdir()
    command = [sys.executable, "-m", "tests.training.two_workers"]
    arguments = [str(size), str(tmp_path / "meeting"), str(together), tiny_model, strategy]
    workers = [subprocess.Popen([*command, str(rank), *arguments]) for rank in range(size)]
    alone = run_all(tmp_path / "alone", tiny_model, ALONE, strategy)
    assert [worker.wait(400) for worker in workers] == [0] * size
    found = json.loads((together / "events.json").read_text())
    for name, events in alone.items():
        if name.endswith("left"):  # of several workers, which one worker goes on with
            left, data, validation = jobs(strategy)[name]
            train(Job(left, data, validation, tiny_model, together / name), lambda kind, data: None)
            found[name] = events
        assert len(found[name]) == len(events) > 3
        for one, other in zip(events, found[name], strict=True):
            for key in ("kind", "step", "epoch", "tokens", "supervised_tokens"):
                assert one.get(key) == other.get(key), (name, key)
            for key in ("loss", "reward", "grad_norm", "token_accuracy", "rewards_margin", "kl"):
                if key in one:
                    assert other[key] == pytest.approx(one[key], rel=2e-4, abs=2e-5), (name, one["step"], key)
        file = "model.safetensors" if strategy == "fsdp2" else "adapter_model.safetensors"
        weights = [load_file(folder / name / file) for folder in (tmp_path / "alone", together)]
        assert weights[0].keys() == weights[1].keys()
        for tensor, value in weights[0].items():
            torch.testing.assert_close(weights[1][tensor], value, rtol=1e-3, atol=2e-4)
        assert not (together / f"{name}-checkpoints").exists()
