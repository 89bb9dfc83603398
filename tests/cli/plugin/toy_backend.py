"""A backend that plugs in like any other, and answers at once: how many words a text has, and the first of them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import ftkit as ft
from ftkit.backends import OnAnswer, TrainingJob
from ftkit.data import Dataset
from ftkit.recipe import Recipe
from ftkit.store import RunRecord, Store
from ftkit.task import Task


class Toy:
    """Models: ``base`` answers in prose, a run's id answers rightly (but not about odd texts), ``slow`` trains for
    ever, ``weak`` fails in training, ``broken`` has a bug."""

    name = "toy"

    def __init__(self, model: str) -> None:
        self.model = model

    def check(self, recipe: Recipe, data: Dataset, validation: Dataset | None) -> None:
        if recipe.adapter.kind == "adalora":
            raise ft.RefusedError("adapter: toys do not do AdaLoRA", backend="toy", fields=("adapter",))

    def submit(self, job: TrainingJob, store: Store) -> None:
        store.update(job.run_id, state="running")
        for step, loss in enumerate((2.0, 1.0, 0.5), start=1):
            store.append(job.run_id, "step", {"step": step, "steps": 3, "loss": loss})
        if job.validation is not None:
            store.append(job.run_id, "validation", {"step": 3, "loss": 0.75})
        if self.model == "weak":
            store.update(job.run_id, state="failed", error="it is too weak", finished_at=time.time())
        elif self.model != "slow":
            store.update(job.run_id, state="succeeded", finished_at=time.time())

    def refresh(self, record: RunRecord, store: Store) -> None:
        (store.folder / "asked").touch()  # so that a test knows when somebody waits

    def cancel(self, record: RunRecord, store: Store) -> None:
        store.update(record.id, state="cancelled", finished_at=time.time())

    def tuned_model(self, record: RunRecord, store: Store) -> str:
        return record.id

    def answerer(self) -> Toy:
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
        if self.model == "broken":
            raise KeyError("a bug")
        return [self._answer(str(request.messages[-1].get("content"))) for request in requests]

    def _answer(self, text: str) -> ft.Answer:
        if self.model == "base":
            said = f"What a text! It says: {text}"
        else:
            words = text.split()
            said = json.dumps({"first": words[0], "words": "many" if "odd" in words else len(words)})
        return ft.Answer(said, "stop", input_tokens=len(text), output_tokens=len(said), latency_s=0.01)
