"""What ftkit makes of rows: a job driven from outside, with the gradients of its first step kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch

import ftkit as ft
from ftkit.graders import Grade
from ftkit.modeling.model_source import find_source
from ftkit.modeling.pretrained import Pretrained, load_pretrained
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.recipe import Recipe, RecipeFacts
from ftkit.training import job as training
from ftkit.training.adapters.adapted_model import AdaptedModel
from ftkit.training.adapters.attach import adapt
from ftkit.training.checkpoint import Checkpoints
from ftkit.training.dataloader import TokenRows
from ftkit.training.example_source import ExampleSource, TrainingContext
from ftkit.training.job import Job, train
from ftkit.training.loss_computer import LossComputer
from ftkit.training.losses import loss_of
from ftkit.training.losses.orpo import ORPOLoss
from ftkit.training.rollout_groups import Completion, RolloutGroup, SampledTokens
from ftkit.training.rollouts import RolloutSource
from tests.parity.trl_side import DrawnGroup, Found, LabelledAnswer, PreferencePair

__all__ = ["Ran", "batch", "drawn_batch", "labelled_batch", "pairs_batch", "run_job"]


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
    recipe: Recipe, folder: str, weights: Mapping[str, torch.Tensor], given: Sequence[PreferencePair]
) -> Found:
    """Loss and gradients of one batch of pairs; see :func:`batch`. The prompts are shared."""
    examples = [_example(pair) for pair in given]
    if isinstance(recipe, ft.ORPO):
        examples = [ORPOLoss(recipe).with_prompt(example) for example in examples]
    return batch(recipe, folder, weights, examples, shares=True)


def labelled_batch(
    recipe: ft.KTO, folder: str, weights: Mapping[str, torch.Tensor], given: Sequence[LabelledAnswer]
) -> Found:
    """Loss and gradients of one batch of labelled answers; see :func:`batch`."""
    examples = [Example((_sequence(one.prompt, one.completion),), labels=(one.label,)) for one in given]
    return batch(recipe, folder, weights, examples)


def batch(
    recipe: Recipe,
    folder: str,
    weights: Mapping[str, torch.Tensor],
    examples: Sequence[Example],
    *,
    shares: bool = False,
) -> Found:
    """Loss and gradients of one batch, as a step of the loop computes them; the reference is the model of ``folder``.

    Args:
        shares: whether every pack has a prefix that several sequences share.
    """
    where, loss_function = torch.device("cpu"), loss_of(recipe)
    loaded = load_pretrained(find_source(folder), precision="fp32", device=where, scores=recipe.score_head)
    adapter = recipe.adapter.resolve(total_steps=1)
    adapted = adapt(loaded.model, adapter, total_steps=1, seed=0, scores=recipe.score_head)
    rows = TokenRows([[example] for example in examples], tokens=0, supervised=0, longest=0)
    context = _context(recipe.resolve(RecipeFacts(rows=len(examples))), folder, loaded, adapted, rows)
    named, computer = loss_function.source_class, context.computer
    source: ExampleSource = (resolve_name(named) if isinstance(named, str) else named)(context)
    source.setup()
    assert computer.shares_prefixes
    _take(weights, adapted)
    prepared = source.prepare(1).examples
    packs = computer.packs(loss_function.weigh(prepared))
    assert not shares or all(len(one.ids) < one.unpacked_tokens for one, _ in packs)
    loss, metrics = computer.compute(packs, loss_function.size(prepared), lambda part: part.backward())
    gradients = {name: one.grad for name, one in adapted.parameters.items() if one.grad is not None}
    return Found(loss, gradients, metrics=metrics)


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
    context = _context(resolved, folder, loaded, adapted, rows)
    rollouts, computer = RolloutSource(context), context.computer
    _take(drawn, adapted)
    drawn_groups = [_group(at, one, loaded) for at, one in enumerate(groups)]
    examples, differences = rollouts.corrected(1, rollouts.examples(1, drawn_groups))
    _take(now, adapted)
    loss, more = computer.compute(computer.packs(examples), loss_function.size(examples), lambda part: part.backward())
    gradients = {name: one.grad for name, one in adapted.parameters.items() if one.grad is not None}
    return Found(loss, gradients, metrics={**differences, **more})


def _context(
    recipe: Recipe, folder: str, loaded: Pretrained, adapted: AdaptedModel, rows: TokenRows
) -> TrainingContext:
    loss = loss_of(recipe)
    sequences = loss.sample_sequences(rows.examples())
    computer = LossComputer(recipe, loss, adapted, torch.device("cpu"), sequences, lambda message: None)
    return TrainingContext(
        recipe=recipe,
        loss=loss,
        pretrained=loaded,
        adapted=adapted,
        computer=computer,
        data=ft.Dataset.from_rows([{"q": "?"}] * len(rows.rows), ft.Task(input="{q}")),
        rows=rows,
        validation=None,
        validation_rows=None,
        checkpoints=Checkpoints(Path(mkdtemp(dir=folder)), "", 1),
        emit=lambda kind, data: None,
    )


def _take(weights: Mapping[str, torch.Tensor], adapted: AdaptedModel) -> None:
    assert weights.keys() == adapted.parameters.keys()
    for name, value in weights.items():
        adapted.parameters[name].data.copy_(value)


def _sequence(prompt: list[int], answer: list[int]) -> TokenizedConversation:
    ids = np.array(prompt + answer, dtype=np.int32)
    return TokenizedConversation(ids, np.arange(len(ids)) >= len(prompt))


def _group(number: int, group: DrawnGroup, loaded: Pretrained) -> RolloutGroup:
    answers = [
        Completion(
            SampledTokens(tuple(ids), tuple(logprobs), ids[-1] in loaded.chat_template.stop_ids), "", Grade(reward)
        )
        for ids, reward, logprobs in zip(group.completions, group.rewards, group.sampled, strict=True)
    ]
    return RolloutGroup(number, np.array(group.prompt, dtype=np.int32), tuple(answers))
