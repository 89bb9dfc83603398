"""What ftkit makes of rows: a job driven from outside, with the gradients of its first step kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ftkit as ft
from ftkit.graders import Grade, GraderContext
from ftkit.inference.offline import Generation
from ftkit.modeling.model_source import find_source
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence, pack_examples
from ftkit.modeling.pretrained import Pretrained, load_pretrained
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.recipe import RecipeFacts
from ftkit.training import job as training
from ftkit.training.adapter_modes import Before
from ftkit.training.adapters.adapted_model import adapt
from ftkit.training.adapters.base import AdaptedModel
from ftkit.training.checkpoint import Checkpoints
from ftkit.training.dataloader import TokenRows
from ftkit.training.job import Job, train
from ftkit.training.loop import Loop
from ftkit.training.losses import loss_of
from ftkit.training.reference_logprobs import give_reference, log_probabilities
from ftkit.training.rollout_groups import Answered, Group
from ftkit.training.rollouts import Rollouts
from ftkit.training.sample_log import KeptSamples
from tests.parity.trl_side import DrawnGroup, Found, PreferencePair

__all__ = ["Ran", "drawn_batch", "pairs_batch", "run_job"]


@dataclass(slots=True)
class Ran:
    """A job's events and summary, where it began, and what its backward passes left before clipping.

    Attributes:
        config: PEFT's of the adapter, ``None`` for ``Full``.
        weights: trainable tensors as training began.
        first_gradients: of the first step.
    """

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: Any = None
    adapted: Any = None
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    first_gradients: dict[str, torch.Tensor] = field(default_factory=dict)

    def steps(self, name: str) -> list[float]:
        """What each step's event says under ``name``."""
        return [data[name] for kind, data in self.events if kind == "step"]


def pairs_batch(
    recipe: ft.DPO | ft.RewardModel, folder: str, weights: Mapping[str, torch.Tensor], given: Sequence[PreferencePair]
) -> Found:
    """Loss and gradients of one batch of pairs, as the loop computes them; the reference is the model of ``folder``."""
    where, loss_function = torch.device("cpu"), loss_of(recipe)
    loaded = load_pretrained(find_source(folder), precision="fp32", device=where, scores=recipe.score_head)
    adapter = recipe.adapter.resolve(total_steps=1)
    adapted = adapt(loaded.model, adapter, total_steps=1, seed=0, scores=recipe.score_head)
    forward = PackedForward(adapted.base_model, where, shared=True)
    rows = TokenRows([[_example(pair)] for pair in given], tokens=0, supervised=0, longest=0)

    def packs(examples: Sequence[Example]) -> list[tuple[PackedSequence, list[Example]]]:
        return list(pack_examples(examples, 4096))

    if recipe.needs_reference:
        give_reference([rows], log_probabilities(forward, rows, packs))
    assert weights.keys() == adapted.parameters.keys()
    for name, value in weights.items():
        adapted.parameters[name].data.copy_(value)
    loss = 0.0
    for one, examples in packs(rows.examples()):
        assert len(one.ids) < one.unpacked_tokens  # prompts are shared
        part = loss_function.compute(forward, one, examples).total / loss_function.size(rows.examples())
        part.backward()
        loss += float(part.detach())
    return Found(loss, {name: one.grad for name, one in adapted.parameters.items() if one.grad is not None})


def _example(pair: PreferencePair) -> Example:
    return Example((_sequence(pair.prompt, pair.chosen), _sequence(pair.prompt, pair.rejected)), margin=pair.margin)


def run_job(
    monkeypatch: pytest.MonkeyPatch,
    recipe: ft.SFT,
    data: ft.Dataset,
    model: str,
    output: Path,
    before: Callable[[AdaptedModel], object] = lambda adapted: None,
) -> Ran:
    """Train as ``recipe`` says; ``before`` may change the adapted model first."""
    ran = Ran()

    def adapted(*args: Any, **kwargs: Any) -> AdaptedModel:
        done = adapt(*args, **kwargs)
        before(done)
        configs = getattr(done.model, "peft_config", None)
        ran.adapted, ran.config = done, configs["default"] if configs else None
        for name, parameter in done.parameters.items():
            ran.weights[name] = parameter.detach().clone()

            def keep(tensor: torch.Tensor, name: str = name) -> None:
                assert tensor.grad is not None
                if not ran.steps("loss"):  # a step of several packs adds to it, up to the step's event
                    ran.first_gradients[name] = tensor.grad.clone()

            parameter.register_post_accumulate_grad_hook(keep)
        return done

    monkeypatch.setattr(training, "adapt", adapted)
    job = Job(recipe, data, None, model, output)
    ran.summary = train(job, lambda kind, data: ran.events.append((kind, data)))
    return ran


def drawn_batch(
    recipe: ft.RFT,
    folder: str,
    drawn: Mapping[str, torch.Tensor],
    now: Mapping[str, torch.Tensor],
    groups: Sequence[DrawnGroup],
) -> Found:
    """Loss and gradients of one batch of answers, from their rewards on, as a step of the loop computes them."""
    where, loss_function = torch.device("cpu"), loss_of(recipe)
    resolved = recipe.resolve(RecipeFacts(rows=len(groups)))
    loaded = load_pretrained(find_source(folder), precision="fp32", device=where)
    adapted = adapt(loaded.model, resolved.adapter, total_steps=1, seed=0)
    rows = TokenRows([[Example((_sequence(one.prompt, []),))] for one in groups], tokens=0, supervised=0, longest=0)
    data = ft.Dataset.from_rows([{"q": "?"}] * len(groups), ft.Task(input="{q}"))
    before = Before(adapted, fresh=True)
    kept = KeptSamples(Path(folder) / "none")
    rollouts = Rollouts(resolved, loaded, adapted, data, rows, None, GraderContext(), before, kept)
    totals = {"epochs": 1, "batch_size": len(groups)}
    loop = Loop(
        resolved.model_copy(update=totals), loss_function, adapted, where, rows, None, lambda kind, data: None,
        lambda: False, 1, Checkpoints(Path(folder), "", 1), rollouts,
    )  # fmt: skip
    _take(drawn, adapted)
    examples = rollouts.examples(1, [_group(at, one, loaded) for at, one in enumerate(groups)], loop.measure)
    _take(now, adapted)
    loss, _ = loop.compute(loop.packs(examples), loss_function.size(examples), lambda part: part.backward())
    return Found(loss, {name: one.grad for name, one in adapted.parameters.items() if one.grad is not None})


def _take(weights: Mapping[str, torch.Tensor], adapted: AdaptedModel) -> None:
    assert weights.keys() == adapted.parameters.keys()
    for name, value in weights.items():
        adapted.parameters[name].data.copy_(value)


def _sequence(prompt: list[int], answer: list[int]) -> TokenizedConversation:
    ids = np.array(prompt + answer, dtype=np.int32)
    return TokenizedConversation(ids, np.arange(len(ids)) >= len(prompt))


def _group(number: int, group: DrawnGroup, loaded: Pretrained) -> Group:
    answers = [
        Answered(
            Generation(tuple(ids), ids[-1] in loaded.chat_template.stop_ids, 0, 0.0, 0.0, (0.0,) * len(ids)),
            "",
            Grade(reward),
        )
        for ids, reward in zip(group.completions, group.rewards, strict=True)
    ]
    return Group(number, np.array(group.prompt, dtype=np.int32), tuple(answers))
