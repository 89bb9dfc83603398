"""Learning from single answers that are good or bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ftkit as ft
from ftkit.modeling.model_source import find_source
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.recipe import RecipeFacts
from ftkit.training.dataloader import TokenRows, render_rows
from ftkit.training.job import Job
from ftkit.training.losses import loss_of
from ftkit.training.losses.mismatched_answers import mismatched
from ftkit.training.unpaired_source import imbalance
from tests.training.test_checkpoints import Runner
from tests.training.test_pairs import Trained, pairs
from tests.training.test_training import ADAPTERS, TASK


def labelled(count: int = 12, first: int = 0) -> ft.Dataset:
    """In the good answers the age comes first."""
    lines = [
        {
            "note": f"bed {n % 5}, {30 + n} years",
            "said": f"{30 + n} in {n % 5}" if n % 2 else f"{n % 5} in {30 + n}",
            "up": bool(n % 2),
        }
        for n in range(first, first + count)
    ]
    return ft.Dataset.from_rows(lines, TASK, target="said", label="up")


def kto(**changes: Any) -> ft.KTO:
    plain = {"epochs": 3, "batch_size": 4, "learning_rate": 5e-3, "precision": "fp32", "adapter": ADAPTERS["lora"]}
    return ft.KTO(**(plain | changes))


def check_learns(recipe: ft.KTO, model: str, folder: Path, data: ft.Dataset, validation: ft.Dataset) -> None:
    done = Trained(recipe, model, folder, data, validation)
    # Before the first step the model is its own reference: no reward, no divergence, and a loss of a half.
    assert done.steps[0]["loss"] == pytest.approx(0.5, abs=1e-4)
    assert done.steps[0]["kl"] == pytest.approx(0, abs=1e-3)
    assert done.steps[-1]["rewards_margin"] > 0.05
    assert done.summary["validation_loss"] < done.summary["validation_loss_before"]


@pytest.mark.parametrize(
    "kind", ["lora", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("full", "qlora", "dora", "adalora"))]
)
def test_good_answers_become_likelier_than_bad_ones(kind: str, tiny_model: str, tmp_path: Path):
    rate = {"adalora": 5e-2, "full": 5e-4}.get(kind, 5e-3)
    more = {"epochs": 8} if kind == "adalora" else {}
    recipe = kto(adapter=ADAPTERS[kind], learning_rate=rate, **more)
    check_learns(recipe, tiny_model, tmp_path / "m", labelled(), labelled(4, 40))


def test_pairs_are_a_good_and_a_bad_answer_each(tiny_model: str, tmp_path: Path):
    check_learns(kto(loss_type="apo_zero_unpaired"), tiny_model, tmp_path / "m", pairs(), pairs(4, 40))


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(tiny_model: str, tmp_path: Path):
    chosen = kto(save_steps=1, epochs=1, batch_size=2)
    whole, broken = (Runner(tiny_model, tmp_path / name, chosen) for name in ("whole", "broken"))
    for one in (whole, broken):
        one.job = Job(chosen, labelled(5), None, tiny_model, one.job.output)  # a batch of one is left over
    whole.go()
    with pytest.raises(KeyboardInterrupt):
        broken.go(until=lambda kind, data: kind == "step" and data["step"] == 2)
    broken.go()
    assert broken.weights == whole.weights


def test_a_row_that_is_left_alone_is_compared_with_an_answer_of_another_row():
    def example(prompt: list[int], answer: list[int]) -> Example:
        ids = np.array(prompt + answer, dtype=np.int32)
        return Example((TokenizedConversation(ids, np.arange(len(ids)) >= len(prompt)),), labels=(True,))

    first, second, third = example([1, 2], [3]), example([4], [5, 6]), example([7, 8], [9])
    rows = TokenRows([[first], [second], [third]], tokens=0, supervised=0, longest=0)
    shifted = mismatched([first, second, third], rows)
    assert [one.sequences[0].ids.tolist() for one in shifted] == [[1, 2, 9], [4, 3], [7, 8, 5, 6]]
    [alone] = mismatched([first], rows, limit=3)
    assert alone.sequences[0].ids.tolist() == [1, 2, 5]
    assert alone.sequences[0].supervised.tolist() == [False, False, True]
    with pytest.raises(ValueError, match="batch_size must be at least 2"):
        ft.KTO(batch_size=1)


def test_weights_outside_of_the_advised_range_are_noted_with_better_ones():
    def rows(good: int, bad: int) -> TokenRows:
        labels = [True] * good + [False] * bad
        return TokenRows([[Example((), labels=(label,))] for label in labels], tokens=0, supervised=0, longest=0)

    assert imbalance(rows(10, 10), 1.0, 1.0) is None
    assert imbalance(rows(30, 10), 1.0, 2.5) is None
    note = imbalance(rows(30, 10), 1.0, 1.0)
    assert note is not None
    assert "weigh 3 times as much" in note
    assert "desirable_weight from 0.333 to 0.444, or undesirable_weight from 2.25 to 3" in note
    assert "all 4 answers are labelled as bad" in str(imbalance(rows(0, 4), 1.0, 1.0))


def test_the_planner_counts_the_comparisons(tiny_model: str):
    template = load_chat_template(find_source(tiny_model))
    works = []
    for recipe in (kto(), kto(loss_type="apo_zero_unpaired")):
        loss = loss_of(recipe.resolve(RecipeFacts(rows=12)))
        works.append(loss.workload(render_rows(labelled(), template, loss.render, None), shared=True))
    compares, plain = works
    assert plain.comparison_packs == ()
    assert sum(pack.predictions for pack in compares.comparison_packs) == 2 * sum(
        pack.predictions for step in plain.steps for pack in step
    )


def test_rows_without_a_label_and_hosts_are_refused(tiny_model: str, tmp_path: Path):
    with pytest.raises(ft.RefusedError, match=r"KTO trains on unpaired_preferences or preferences.*label="):
        Trained(kto(), tiny_model, tmp_path / "m", ft.Dataset.from_rows([{"note": "a", "g": "b"}], TASK, target="g"))
    with pytest.raises(ft.RefusedError, match="SFT trains on demonstrations"):
        Trained(ft.SFT(), tiny_model, tmp_path / "m", labelled())
