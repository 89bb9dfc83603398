"""Tuned models of every kind, made once a session on the tiny model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ftkit as ft
from ftkit.training.job import Job, train

TASK = ft.Task("Read the age and the bed from the note; answer with both.", input="{note}")
ADAPTERS = {
    "lora": ft.LoRA(rank=4),
    "rslora": ft.LoRA(rank=4, use_rslora=True),
    "qlora": ft.QLoRA(rank=4),
    "dora": ft.DoRA(rank=4),
    "adalora": ft.AdaLoRA(init_rank=4, target_rank=2),
    "full": ft.Full(),
}


def rows(count: int = 12, first: int = 0) -> ft.Dataset:
    return ft.Dataset.from_rows(
        [
            {"note": f"bed {n % 5}: a patient of {30 + n} years" + " sleeps" * (n % 3), "gold": f"{30 + n} in {n % 5}"}
            for n in range(first, first + count)
        ],
        TASK,
        target="gold",
    )


def recipe(adapter: Any, **changes: Any) -> ft.SFT:
    rate = 2e-3 if adapter.kind == "full" else 1e-2
    plain = {"epochs": 12, "batch_size": 4, "learning_rate": rate, "precision": "fp32", "seed": 3}
    return ft.SFT(adapter=adapter, **(plain | changes))


@pytest.fixture(scope="session")
def tuned(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The name of a tiny model tuned with that adapter, trained when it is first asked for."""
    made: dict[str, str] = {}

    def name(kind: str) -> str:
        if kind not in made:
            folder = tmp_path_factory.mktemp("tuned") / kind
            record = {"task": TASK.model_dump(mode="json"), "task_fingerprint": TASK.fingerprint}
            train(Job(recipe(ADAPTERS[kind]), rows(), None, tiny_model, folder, record), lambda kind, data: None)
            made[kind] = f"local:{folder}"
        return made[kind]

    return name
