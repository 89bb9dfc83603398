"""Continued pre-training on plain texts: what is learned, how texts become blocks, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ftkit as ft
from ftkit.modeling.model_source import find_source
from ftkit.modeling.plain_text import encode_plain_text
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.recipe import RecipeFacts
from ftkit.training.dataloader import render_rows
from ftkit.training.job import Job
from ftkit.training.losses import loss_of
from ftkit.training.losses.cpt import pack_blocks
from tests.training.test_checkpoints import Runner
from tests.training.test_pairs import Trained
from tests.training.test_training import ADAPTERS


def texts(count: int = 10) -> ft.Dataset:
    return ft.Dataset.from_rows(
        [{"text": f"Ward {n}: bed {n % 3} is next to the window." + " All is well." * n} for n in range(count)]
    )


def cpt(**changes: Any) -> ft.CPT:
    plain = {"epochs": 2, "batch_size": 2, "learning_rate": 1e-2, "precision": "fp32", "adapter": ADAPTERS["lora"]}
    return ft.CPT(**({"block_size": 64} | plain | changes))


def blocks(model: str, recipe: ft.CPT, data: ft.Dataset) -> list[list[list[int]]]:
    template, loss = load_chat_template(find_source(model)), loss_of(recipe.resolve(RecipeFacts(rows=len(data))))
    arranged = loss.arrange(render_rows(data, template, loss.render, None))
    return [[example.sequences[0].ids.tolist() for example in block] for block in arranged.rows]


def test_every_token_is_learned_once_whatever_the_blocks_are(tiny_model: str):
    template = load_chat_template(find_source(tiny_model))
    data = texts()
    whole = [encode_plain_text(row.require_text(), template).tolist() for row in data]
    wanted = sorted(pair for ids in whole for pair in itertools.pairwise(ids))
    assert {ids[-1] for ids in whole} == {template.tokenizer.eos_token_id}
    for size in (8, 64, 4096):
        for packing in (True, False):
            found = blocks(tiny_model, cpt(block_size=size, packing=packing), data)
            assert all(sum(map(len, block)) <= size for block in found)
            pairs = [pair for block in found for piece in block for pair in itertools.pairwise(piece)]
            assert sorted(pairs) == wanted
    assert len(blocks(tiny_model, cpt(block_size=4096), data)) == 1


def test_blocks_are_packed_full():
    assert pack_blocks([5, 3, 8, 2, 6], 8) == [[0, 1], [2], [3, 4]]
    assert pack_blocks([], 8) == []
    lengths = np.random.default_rng(0).integers(1, 1000, 20_000).tolist()  # in little time
    found = pack_blocks(lengths, 1024)
    assert sum(lengths) / (1024 * len(found)) > 0.98


def test_what_is_written_like_a_control_token_is_encoded_as_text(tiny_model: str):
    template = load_chat_template(find_source(tiny_model))
    token = template.tokenizer.eos_token
    plain = encode_plain_text("a sentence", template)
    assert plain.tolist() == template.tokenizer("a sentence")["input_ids"] + [template.tokenizer.eos_token_id]
    written = encode_plain_text(f"it writes {token} here", template)
    assert written.tolist().count(template.tokenizer.eos_token_id) == 1
    assert template.tokenizer.decode(written[:-1]) == f"it writes {token} here"


@pytest.mark.parametrize("kind", ["lora", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("full", "dora"))])
def test_texts_become_likelier(kind: str, tiny_model: str, tmp_path: Path):
    rate = 2e-3 if kind == "full" else 1e-2
    recipe = cpt(adapter=ADAPTERS[kind], learning_rate=rate, epochs=3)
    done = Trained(recipe, tiny_model, tmp_path / "m", texts(), texts(3))
    assert done.summary["validation_loss"] < 0.9 * done.summary["validation_loss_before"]
    assert len(done.steps) == done.summary["steps"] == 3 * -(-len(blocks(tiny_model, recipe, texts())) // 2)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(tiny_model: str, tmp_path: Path):
    chosen = cpt(save_steps=2)
    whole, broken = (Runner(tiny_model, tmp_path / name, chosen) for name in ("whole", "broken"))
    for one in (whole, broken):
        one.job = Job(chosen, texts(), None, tiny_model, one.job.output)
    whole.go()
    with pytest.raises(KeyboardInterrupt):
        broken.go(until=lambda kind, data: kind == "step" and data["step"] == 3)
    broken.go()
    assert broken.weights == whole.weights


def test_plans_and_refusals(tiny_model: str, tmp_path: Path):
    assert ft.CPT().resolve(RecipeFacts(rows=10)).epochs == 1
    with pytest.raises(ValueError, match="less than block_size"):
        ft.CPT(max_length=100)
    with pytest.raises(ft.RefusedError, match="CPT trains on texts"):
        Trained(cpt(), tiny_model, tmp_path / "m", ft.Dataset.from_rows([{"prompt": "a", "completion": "b"}]))
    with pytest.raises(ft.RefusedError, match="SFT trains on demonstrations"):
        Trained(ft.SFT(), tiny_model, tmp_path / "m", texts())
    planned = ft.plan(cpt(), texts(), f"local:{tiny_model}", device="h100-80gb")
    steps = 2 * -(-len(blocks(tiny_model, cpt(), texts())) // 2)
    assert planned.entries[0].problem is None
    assert planned.entries[0].estimate is not None
    assert planned.entries[0].estimate.steps == steps
