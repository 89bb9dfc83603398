"""Where a step of reinforcement gets its rows from: the model answers prompts, a grader judges the answers.

Everything that is drawn follows from the recipe's seed, the step's number and the weights, so a run that goes on from a
checkpoint draws what it would have drawn. Only answers that are used for several steps are kept in checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ftkit.data import Dataset
from ftkit.data.formats import text_content
from ftkit.errors import RefusedError
from ftkit.graders import GraderContext, Sample
from ftkit.inference.offline import Generation, generate
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.tokenized_example import Example, Experience, Floats, Ints, TokenizedConversation
from ftkit.modeling.tool_calls import parse_tool_calls
from ftkit.recipe import RFT
from ftkit.training.adapter_modes import Before, drawing
from ftkit.training.adapters.base import AdaptedModel
from ftkit.training.dataloader import TokenRows
from ftkit.training.losses.grpo import advantages, token_weights
from ftkit.training.reward_signal import RewardSignal
from ftkit.training.rollout_groups import Answered, Group, figures_of, rewards_of
from ftkit.training.sample_log import KeptSample, KeptSamples

__all__ = ["Measure", "Rollouts"]

Measure = Callable[[Sequence[Example]], list[Floats]]
"""Gives the log-probability of each supervised token of each example under the model as it is now."""

_MEASURED = 10
"""Steps from one look at the divergence to the next, where nothing weighs it."""

_LOOK, _PROBE = 0, 1
"""What is drawn besides steps, as the attempt of step 0."""


class Rollouts:
    """Answers and grades prompts with the model in training.

    Args:
        recipe: resolved.
        pretrained: the model with its tokenizer; ``adapted`` is the same one with its trainable part.
        data: training rows, and ``rows``, their prompts in tokens.
        held_out: the same of validation rows, if any.
        setting: what the grader may use.
        before: the model that training began with.
        kept: where the best and the worst answer of each step go.
    """

    def __init__(
        self,
        recipe: RFT,
        pretrained: Pretrained,
        adapted: AdaptedModel,
        data: Dataset,
        rows: TokenRows,
        held_out: tuple[Dataset, TokenRows] | None,
        setting: GraderContext,
        before: Before,
        kept: KeptSamples,
    ) -> None:
        self.recipe: Any = recipe  # resolved: no field is "auto" any more
        self.pretrained = pretrained
        self.adapted = adapted
        self.data = data
        self.prompts = _prompts(rows)
        self.held_out = None if held_out is None else (held_out[0], _prompts(held_out[1]))
        self.setting = setting
        self.before = before
        self.kept = kept
        self.numbers = {id(one): number for number, [one] in enumerate(rows.rows)}
        self.current: list[Example] = []

    @property
    def repeats(self) -> int:
        """Steps that are made of the same answers."""
        return int(self.recipe.num_iterations)

    def sequences(self) -> list[TokenizedConversation]:
        """Conversations as long as they may become, to try the model with."""
        found = []
        for prompt in self.prompts[:100]:
            ids = np.resize(prompt, len(prompt) + self.recipe.max_output_tokens)
            found.append(TokenizedConversation(ids, np.arange(len(ids)) > 0))
        return found

    def draw(self, step: int, asked: Sequence[Example], measure: Measure) -> tuple[list[Example], dict[str, Any]]:
        """What ``step`` (from 1) learns from, and what is worth knowing of it."""
        if (step - 1) % self.repeats:
            return self.current, {}
        began = time.monotonic()
        groups = self.answer(step, [self.numbers[id(one)] for one in asked])
        told = figures_of(groups)
        groups, told["resampled_groups"] = self.resample(step, groups)
        self.keep(step, groups)
        told["draw_seconds"] = round(time.monotonic() - began, 4)
        self.current = self.examples(step, groups, measure)
        return self.current, told

    def answer(self, step: int, numbers: Sequence[int], attempt: int = 0) -> list[Group]:
        """A group of answers to each of some training prompts."""
        prompts = [self.prompts[number] for number in numbers]
        seed = self.seed(step, attempt)
        generated = self.generate(prompts, self.recipe.num_generations, self.recipe.temperature, seed)
        return self.grade(self.data, numbers, prompts, generated)

    def resample(self, step: int, groups: list[Group]) -> tuple[list[Group], int]:
        """Replace groups that tell nothing by those of other prompts; how many were tried."""
        tried = {group.row for group in groups}
        before = len(tried)
        for attempt in range(1, self.recipe.dynamic_sampling + 1):
            telling = [group for group in groups if group.tells]
            order = np.random.default_rng([self.recipe.seed, step, attempt]).permutation(len(self.prompts)).tolist()
            others = [number for number in order if number not in tried][: len(groups) - len(telling)]
            if not others:
                break
            tried.update(others)
            found = [group for group in self.answer(step, others, attempt) if group.tells]
            mute = [group for group in groups if not group.tells]
            groups = [*telling, *found, *mute[: len(mute) - len(found)]]
        return groups, len(tried) - before

    def generate(
        self, prompts: Sequence[Ints], count: int, temperature: float, seed: int
    ) -> list[tuple[Generation, ...]]:
        """``count`` answers to each prompt."""
        with drawing(self.adapted):
            found = generate(
                self.pretrained,
                [prompt for prompt in prompts for _ in range(count)],
                max_new_tokens=self.recipe.max_output_tokens,
                temperature=temperature,
                top_p=self.recipe.top_p,
                seed=seed,
            )
        return [tuple(found[at : at + count]) for at in range(0, len(found), count)]

    def grade(
        self,
        data: Dataset,
        numbers: Sequence[int],
        prompts: Sequence[Ints],
        generated: Sequence[tuple[Generation, ...]],
    ) -> list[Group]:
        """Let the grader judge all answers at once."""
        chat_template, pairs = self.pretrained.chat_template, []
        for number, prompt, answers in zip(numbers, prompts, generated, strict=True):
            row = data[number]
            item, asked = row.item, tuple(row.prompt)
            for one in answers:
                text, calls = parse_tool_calls(chat_template, prompt, one.ids, row.tools)
                pairs.append((item, Sample(text, tuple(calls), asked)))
        graded = iter(self.recipe.grader.grade_many(pairs, self.setting))
        return [
            Group(
                number,
                prompt,
                tuple(Answered(one, chat_template.decode(one.ids), next(graded)) for one in answers),
            )
            for number, prompt, answers in zip(numbers, prompts, generated, strict=True)
        ]

    def examples(self, step: int, groups: Sequence[Group], measure: Measure) -> list[Example]:
        """The answers that anything is learned from: without a divergence to weigh, those with an advantage."""
        recipe = self.recipe
        judged = advantages(rewards_of(groups), recipe).ravel().tolist()
        answers = [(group.prompt, answer.generated) for group in groups for answer in group.answers]
        masked = recipe.mask_truncated_completions
        lengths = [0 if masked and not one.stopped else len(one.ids) for _, one in answers]
        weights = token_weights(lengths, recipe)
        used = [at for at, length in enumerate(lengths) if length and (recipe.beta or judged[at])]
        tokens = sum(lengths[at] for at in used)
        examples = []
        for at in used:
            prompt, one = answers[at]
            ids = np.concatenate([prompt, np.array(one.ids, dtype=prompt.dtype)])
            sampled = np.array(one.logprobs, dtype=np.float32)
            experience = Experience(judged[at], weights[at] * tokens, sampled)
            examples.append(
                Example((TokenizedConversation(ids, np.arange(len(ids)) >= len(prompt)),), experience=experience)
            )
        if self.repeats > 1:
            examples = _with("old", examples, measure(examples))
        # A divergence that weighs nothing is still looked at from time to time: it shows how far the model has gone.
        if recipe.beta or step % _MEASURED == 0:
            with self.before.placed():
                examples = _with("reference", examples, measure(examples))
        return examples

    def keep(self, step: int, groups: Sequence[Group]) -> None:
        """Write down the best and the worst answer."""
        answers = [(group, answer) for group in groups for answer in group.answers]
        best = max(answers, key=lambda one: one[1].grade.reward)
        worst = min(answers, key=lambda one: one[1].grade.reward)
        self.kept.add(self.sample(step, which, *one) for which, one in (("best", best), ("worst", worst)))

    def sample(self, step: int, which: str, group: Group, answer: Answered) -> KeptSample:
        row = self.data[group.row]
        return KeptSample(
            step=step,
            which=which,
            row=row.id,
            prompt=text_content(row.prompt[-1]) or "",
            answer=answer.text,
            reward=answer.grade.reward,
            parts=dict(answer.grade.parts),
            error=answer.grade.error,
            tokens=len(answer.generated.ids),
            truncated=not answer.generated.stopped,
        )

    def look(self) -> dict[str, Any]:
        """Answer and grade the validation prompts: the same figures as of a step, but for groups of one answer."""
        assert self.held_out is not None  # noqa: S101  (callers check)
        data, prompts = self.held_out
        count = self.recipe.eval_generations
        temperature = self.recipe.temperature if count > 1 else 0.0
        generated = self.generate(prompts, count, temperature, self.seed(0, _LOOK))
        found = figures_of(self.grade(data, range(len(prompts)), prompts, generated))
        if count == 1:
            del found["no_signal_share"]
        return found

    def probe(self) -> RewardSignal:
        """What the grader says of the model as it is, on some of the training prompts.

        Raises:
            RefusedError: nothing can be learned; says why.
        """
        order = np.random.default_rng([self.recipe.seed]).permutation(len(self.prompts)).tolist()
        groups = self.answer(0, order[: self.recipe.probe_prompts], _PROBE)
        signal = RewardSignal.of(
            [[one.grade for one in group.answers] for group in groups],
            [not one.generated.stopped for group in groups for one in group.answers],
            rates=self.recipe.grader.rates,
        )
        problem = signal.problem(masks_truncated=self.recipe.mask_truncated_completions)
        if problem is not None:
            raise RefusedError(
                f"nothing can be learned: {problem}. probe_prompts=0 trains without looking",
                backend="local",
                fields=("grader",),
            )
        return signal

    def seed(self, step: int, attempt: int) -> int:
        """Of what is drawn for a step."""
        return int(np.random.SeedSequence([self.recipe.seed, step, attempt]).generate_state(1)[0])

    def state(self, step: int) -> list[dict[str, Any]]:
        """The answers that the steps after ``step`` are still to be made of."""
        return [_plain(one) for one in self.current] if step % self.repeats else []

    def restore(self, state: list[dict[str, Any]], step: int) -> None:
        """Go on after ``step`` from what :meth:`state` gave."""
        self.current = [_example(one) for one in state]
        self.kept.forget_after(step)


def _prompts(rows: TokenRows) -> list[Ints]:
    return [one.sequences[0].ids for one in rows.examples()]


def _with(name: str, examples: Sequence[Example], values: Sequence[Floats]) -> list[Example]:
    return [
        replace(one, experience=replace(one.experience, **{name: value}))  # type: ignore[type-var]
        for one, value in zip(examples, values, strict=True)
    ]


_ARRAYS = ("sampled", "old", "reference")


def _plain(example: Example) -> dict[str, Any]:
    """An example as a checkpoint holds it."""
    [sequence], experience = example.sequences, example.experience
    arrays = {name: value for name in _ARRAYS if (value := getattr(experience, name)) is not None}
    return {
        "ids": torch.from_numpy(sequence.ids),
        "supervised": torch.from_numpy(sequence.supervised),
        "advantage": getattr(experience, "advantage", 0.0),
        "weight": getattr(experience, "weight", 0.0),
        "arrays": {name: torch.from_numpy(value) for name, value in arrays.items()},
    }


def _example(plain: dict[str, Any]) -> Example:
    arrays = {name: value.numpy() for name, value in plain["arrays"].items()}
    sequence = TokenizedConversation(plain["ids"].numpy(), plain["supervised"].numpy())
    return Example((sequence,), experience=Experience(plain["advantage"], plain["weight"], **arrays))
