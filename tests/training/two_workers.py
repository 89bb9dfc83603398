"""One of several workers that train together.

Started as ``python -m tests.training.two_workers RANK SIZE MEETING OUTPUT MODEL STRATEGY``. Trains each kind of recipe
once, resumed half-way where the name says so, and writes the first worker's events. A run whose name says that it is
left is stopped half-way, and somebody else goes on with it.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

import ftkit as ft
from ftkit.graders import FunctionGrader
from ftkit.training.job import Job, train
from ftkit.training.progress import TrainingStopped
from ftkit.training.worker_group import ALONE, WorkerGroup
from tests.training import worth

TASK = ft.Task("Read the age and the bed from the note; answer with both.", input="{note}")
LORA = ft.LoRA(rank=4)
ADAPTERS = "fsdp2-adapters"
"""The strategy ``"fsdp2"`` with adapters; with it alone every weight is trained."""


def plain(count: int) -> list[dict[str, str]]:
    return [
        {
            "note": f"bed {n % 5}, {30 + n} years" + " sleeps" * (n % 3),
            "good": f"{30 + n} in {n % 5}",
            "bad": f"{n % 5}",
        }
        for n in range(count)
    ]


def jobs(strategy: str) -> dict[str, tuple[ft.Recipe, ft.Dataset, ft.Dataset | None]]:
    full = strategy == "fsdp2"
    if strategy == ADAPTERS:
        return adapter_jobs()
    common: dict[str, Any] = {"epochs": 2, "batch_size": 5, "precision": "fp32"}
    common |= {"adapter": ft.Full() if full else LORA, "learning_rate": 1e-3 if full else 1e-2}
    grader = FunctionGrader(function=worth.worth)
    demonstrations = ft.Dataset.from_rows(plain(11), TASK, target="good")
    pairs = ft.Dataset.from_rows(plain(7), TASK, chosen="good", rejected="bad")
    small = {"gradient_checkpointing": True, "max_batch_tokens": 64}
    sampled = {"num_generations": 3, "max_output_tokens": 6, "probe_prompts": 0, "beta": 0.1, "num_iterations": 2}
    return {
        "sft": (ft.SFT(**common), demonstrations, demonstrations.take(3)),
        "sft-resumed": (ft.SFT(**common), demonstrations, demonstrations.take(3)),
        **({"sft-left": (ft.SFT(**common), demonstrations, demonstrations.take(3))} if full else {}),
        **({"sft-checkpointed": (ft.SFT(**common, **small), demonstrations, None)} if full else {}),
        "dpo": (ft.DPO(**common), pairs, pairs.take(1)),
        "reward": (ft.RewardModel(**common), pairs, None),
        "rft": (ft.RFT(grader=grader, **common | {"batch_size": 3}, **sampled), demonstrations.take(5), None),
    }


def adapter_jobs() -> dict[str, tuple[ft.Recipe, ft.Dataset, ft.Dataset | None]]:
    """Adapters on a model that is split among the workers."""
    common: dict[str, Any] = {"epochs": 2, "batch_size": 5, "precision": "fp32", "learning_rate": 1e-2}
    demonstrations = ft.Dataset.from_rows(plain(11), TASK, target="good")
    pairs = ft.Dataset.from_rows(plain(7), TASK, chosen="good", rejected="bad")
    sampled = {"num_generations": 3, "max_output_tokens": 6, "probe_prompts": 0, "beta": 0.1}
    grader = FunctionGrader(function=worth.worth)
    small = {"gradient_checkpointing": True, "max_batch_tokens": 64, "ema_decay": 0.5}
    return {
        "sft-resumed": (ft.SFT(**common, adapter=LORA), demonstrations, demonstrations.take(3)),
        "sft-left": (ft.SFT(**common, adapter=LORA), demonstrations, demonstrations.take(3)),
        "sft-checkpointed": (ft.SFT(**common, adapter=LORA, **small), demonstrations, None),
        "dora": (ft.SFT(**common, adapter=ft.DoRA(rank=4)), demonstrations, None),
        "adalora": (ft.SFT(**common, adapter=ft.AdaLoRA(init_rank=6, target_rank=3)), demonstrations, None),
        "qlora": (ft.SFT(**common, adapter=ft.QLoRA(rank=4)), demonstrations, demonstrations.take(3)),
        "qlora-checkpointed": (ft.SFT(**common, adapter=ft.QLoRA(rank=4), **small), demonstrations, None),
        "dpo": (ft.DPO(**common, adapter=ft.QLoRA(rank=4)), pairs, pairs.take(1)),
        "reward": (ft.RewardModel(**common, adapter=LORA), pairs, None),
        "rft": (
            ft.RFT(grader=grader, **common | {"batch_size": 3}, adapter=LORA, **sampled),
            demonstrations.take(5),
            None,
        ),
    }


def run_all(output: Path, model: str, workers: WorkerGroup, strategy: str = "ddp") -> dict[str, list[dict[str, Any]]]:
    """The events of each run's steps and validations."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, (recipe, data, validation) in jobs(strategy).items():
        events: list[dict[str, Any]] = []
        job = Job(recipe, data, validation, model, output / name)

        def keep(kind: str, data: dict[str, Any], events: list[dict[str, Any]] = events) -> None:
            if kind in ("step", "validation"):
                events.append({"kind": kind, **data})

        if name.endswith(("resumed", "left")):
            asked = iter([False, False, workers.rank == workers.size - 1])  # only the last worker is asked to stop
            with contextlib.suppress(TrainingStopped):
                train(job, keep, lambda asked=asked: next(asked), workers=workers)  # type: ignore[misc]
                raise AssertionError("it did not stop")
        if workers is not ALONE and name.endswith("left"):
            continue
        train(job, keep, workers=workers)
        found[name] = events
    return found


if __name__ == "__main__":
    rank, size, meeting, folder, base, how = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=size)
    group = WorkerGroup.of_process_group(how.partition("-")[0])
    assert (group.rank, group.size) == (rank, size)
    done = run_all(Path(folder), base, group, how)
    if group.is_first:
        Path(folder, "events.json").write_text(json.dumps(done))
    else:
        assert not any(done.values())
        assert ALONE.is_first
    torch.distributed.destroy_process_group()
