"""Rollouts: the model in training answers prompts, a grader rewards the answers, and the loss learns from them.

Everything that is sampled follows from the recipe's seed, the step's number and the weights, so a resumed run samples
what it would have sampled. Only completions that are used for several steps are in checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from ftkit.data import Dataset
from ftkit.data.formats import text_content
from ftkit.errors import RefusedError
from ftkit.graders import Sample
from ftkit.modeling.tokenized_example import Example, Experience, Floats, Ints, TokenizedConversation
from ftkit.modeling.tool_calls import parse_tool_calls
from ftkit.training.adapter_modes import ReferenceModel
from ftkit.training.dataloader import TokenRows
from ftkit.training.example_source import Batch, Evaluation, ExampleSource, TrainingContext
from ftkit.training.losses.advantages import advantages, token_weights
from ftkit.training.reward_signal import RewardSignal
from ftkit.training.rollout_groups import Completion, RolloutGroup, SampledTokens, group_rewards, rollout_metrics
from ftkit.training.rollout_sampler import sampler_of
from ftkit.training.sample_log import SampleLog, SampleRecord
from ftkit.training.sampler_correction import check_difference, correction_weights, difference_metrics

__all__ = ["RolloutSource"]

_KL_INTERVAL = 10
"""Steps between two measurements of the divergence from the reference while ``beta`` is 0."""

_EVALUATION, _PROBE = 0, 1
"""Seeds of what is sampled outside of steps: the attempt number at step 0."""


class RolloutSource(ExampleSource):
    """Makes examples of graded completions; the prompts are those of the rows.

    Args:
        context: what the run trains with.
    """

    def __init__(self, context: TrainingContext) -> None:
        super().__init__(context)
        self.recipe = context.recipe
        self.workers = context.computer.workers
        self.steps_per_batch = int(self.recipe.num_iterations)
        self.prompts = _prompts(context.rows)
        self.reference_model = ReferenceModel(context.adapted, fresh=context.fresh_adapter)
        self.sampler = sampler_of(context)
        self.sample_log = SampleLog(context.samples_file)
        self._row_numbers = {id(example): number for number, [example] in enumerate(context.rows.rows)}
        self._current: list[Example] = []

    @override
    def setup(self) -> None:
        super().setup()
        asked = self.prompts + ([] if (rows := self.context.validation_rows) is None else _prompts(rows))
        self.sampler.setup(max(map(len, asked)) + self.recipe.max_output_tokens)

    @override
    def close(self) -> None:
        self.sampler.close()

    @override
    def start(self) -> None:
        if self.recipe.probe_prompts:
            signal = self.probe()
            self.context.emit("log", {"message": "the grader tells answers apart", **signal.model_dump()})

    @override
    def prepare(self, step: int) -> Batch:
        epoch, rows = self.rows_of(step)
        if (step - 1) % self.steps_per_batch:
            return Batch(self._current, epoch, {})
        began = time.monotonic()
        groups = self.rollout(step, [self._row_numbers[id(example)] for example in rows])
        metrics = rollout_metrics(groups)
        groups, metrics["resampled_groups"] = self._resample(step, groups)
        self._log_samples(step, groups)
        metrics["draw_seconds"] = round(time.monotonic() - began, 4)
        self._current, differences = self.corrected(step, self.examples(step, groups))
        metrics |= differences
        return Batch(self._current, epoch, metrics)

    @override
    def evaluate(self) -> Evaluation:
        data, rows = self.context.validation, self.context.validation_rows
        assert data is not None  # noqa: S101  (callers check)
        assert rows is not None  # noqa: S101
        prompts, count = _prompts(rows), self.recipe.eval_generations
        temperature = self.recipe.temperature if count > 1 else 0.0
        completions = self._sample(prompts, count, temperature, self._seed(0, _EVALUATION))
        metrics = rollout_metrics(self._grade(data, range(len(prompts)), prompts, completions))
        if count == 1:
            del metrics["no_signal_share"]
        return Evaluation(-float(metrics["reward"]), metrics)

    @override
    def state(self, step: int) -> list[dict[str, Any]]:
        return [_to_plain(example) for example in self._current] if step % self.steps_per_batch else []

    @override
    def load_state(self, state: Any, step: int) -> None:
        self._current = [_from_plain(plain) for plain in state]
        if self.workers.is_first:
            self.sample_log.truncate_after(step)

    def rollout(self, step: int, row_numbers: Sequence[int], attempt: int = 0) -> list[RolloutGroup]:
        """Sample and grade a group of completions for each of some training prompts.

        Args:
            step: the optimiser step.
            row_numbers: which prompts.
            attempt: tells several rollouts of one step apart; part of the seed.

        Returns:
            One group per prompt.
        """
        prompts = [self.prompts[number] for number in row_numbers]
        seed = self._seed(step, attempt)
        completions = self._sample(prompts, self.recipe.num_generations, self.recipe.temperature, seed)
        return self._grade(self.context.data, row_numbers, prompts, completions)

    def examples(self, step: int, groups: Sequence[RolloutGroup]) -> list[Example]:
        """Make training examples of completions.

        Args:
            step: the optimiser step.
            groups: the graded completions.

        Returns:
            The completions that move the weights: those with an advantage, or all if the divergence is weighted.
        """
        recipe = self.recipe
        of_completions = advantages(group_rewards(groups), recipe).ravel().tolist()
        completions = [(group.prompt, each.tokens) for group in groups for each in group.completions]
        masked = recipe.mask_truncated_completions
        lengths = [0 if masked and not tokens.stopped else len(tokens.ids) for _, tokens in completions]
        weights = token_weights(lengths, recipe)
        used = [at for at, length in enumerate(lengths) if length and (recipe.beta or of_completions[at])]
        token_count = sum(lengths[at] for at in used)
        examples = []
        for at in used:
            prompt, tokens = completions[at]
            ids = np.concatenate([prompt, np.array(tokens.ids, dtype=prompt.dtype)])
            logprobs = np.array(tokens.logprobs, dtype=np.float32)
            experience = Experience(of_completions[at], weights[at] * token_count, logprobs)
            sequence = TokenizedConversation(ids, np.arange(len(ids)) >= len(prompt))
            examples.append(Example((sequence,), experience=experience))
        computer = self.context.computer
        if self.steps_per_batch > 1 or not self.sampler.engine.samples_with_trainer:
            examples = _with_values("old", examples, computer.token_logprobs(examples, recipe.temperature))
        # Measured from time to time even when it has no weight: it shows how far the model has moved.
        if recipe.beta or step % _KL_INTERVAL == 0:
            with self.reference_model.active():
                examples = _with_values("reference", examples, computer.token_logprobs(examples, recipe.temperature))
        return examples

    def corrected(self, step: int, examples: list[Example]) -> tuple[list[Example], dict[str, float]]:
        """Weigh the tokens of examples by what another engine computes otherwise than the trainer.

        Args:
            step: the optimiser step.
            examples: the examples, of :meth:`examples`.

        Returns:
            The examples, and metrics of the difference; the same ones and nothing if the model itself has sampled.

        Raises:
            TrainingError: the difference is above the recipe's bound.
        """
        if self.sampler.engine.samples_with_trainer:
            return examples, {}
        known = [one for example in examples if (one := example.experience) is not None]
        trainer, sampler = [one.old for one in known if one.old is not None], [one.sampled for one in known]
        check_difference(step, trainer, sampler, self.recipe)
        found = [correction_weights(*pair, self.recipe) for pair in zip(trainer, sampler, strict=True)]
        weights, above = [weight for weight, _ in found], sum(count for _, count in found)
        if self.recipe.rollout_correction is not None:
            examples = _with_values("correction", examples, weights)
        return examples, difference_metrics(trainer, sampler, weights, above)

    def probe(self) -> RewardSignal:
        """Check on some training prompts that the rewards carry a signal.

        Returns:
            What the rewards look like before training.

        Raises:
            RefusedError: nothing can be learned from them; says why.
        """
        order = np.random.default_rng([self.recipe.seed]).permutation(len(self.prompts)).tolist()
        groups = self.rollout(0, order[: self.recipe.probe_prompts], _PROBE)
        signal = RewardSignal.of(
            [[completion.grade for completion in group.completions] for group in groups],
            [not completion.tokens.stopped for group in groups for completion in group.completions],
            rates=self.recipe.grader.rates,
        )
        problem = signal.problem(masks_truncated=self.recipe.mask_truncated_completions)
        if problem is not None:
            raise RefusedError(
                f"nothing can be learned: {problem}. probe_prompts=0 skips this check",
                backend="local",
                fields=("grader",),
            )
        return signal

    def _resample(self, step: int, groups: list[RolloutGroup]) -> tuple[list[RolloutGroup], int]:
        """Replace groups without a signal by groups of other prompts; also return how many prompts were tried."""
        tried = {group.row for group in groups}
        before = len(tried)
        for attempt in range(1, self.recipe.dynamic_sampling + 1):
            with_signal = [group for group in groups if group.has_signal]
            order = np.random.default_rng([self.recipe.seed, step, attempt]).permutation(len(self.prompts)).tolist()
            others = [number for number in order if number not in tried][: len(groups) - len(with_signal)]
            if not others:
                break
            tried.update(others)
            replacements = [group for group in self.rollout(step, others, attempt) if group.has_signal]
            without = [group for group in groups if not group.has_signal]
            groups = [*with_signal, *replacements, *without[: len(without) - len(replacements)]]
        return groups, len(tried) - before

    def _sample(
        self, prompts: Sequence[Ints], count: int, temperature: float, seed: int
    ) -> list[tuple[SampledTokens, ...]]:
        """Sample ``count`` completions of each prompt."""
        completions = self.sampler.sample(
            [prompt for prompt in prompts for _ in range(count)],
            max_new_tokens=self.recipe.max_output_tokens,
            temperature=temperature,
            top_p=self.recipe.top_p,
            seed=seed,
        )
        return [tuple(completions[start : start + count]) for start in range(0, len(completions), count)]

    def _grade(
        self,
        data: Dataset,
        row_numbers: Sequence[int],
        prompts: Sequence[Ints],
        completions: Sequence[tuple[SampledTokens, ...]],
    ) -> list[RolloutGroup]:
        """Grade all completions, each worker a share of them in one call."""
        template, pairs = self.context.pretrained.chat_template, []
        for number, prompt, group in zip(row_numbers, prompts, completions, strict=True):
            row = data[number]
            item, messages = row.item, tuple(row.prompt)
            for tokens in group:
                text, calls = parse_tool_calls(template, prompt, tokens.ids, row.tools)
                pairs.append((item, Sample(template.answer_text(text, keep_thought=True), tuple(calls), messages)))
        grades = iter(
            self.workers.map_shares(
                pairs,
                [1] * len(pairs),
                lambda numbers, own: self.recipe.grader.grade_many(own, self.context.grader_context),
            )
        )
        return [
            RolloutGroup(
                number, prompt, tuple(Completion(tokens, template.decode(tokens.ids), next(grades)) for tokens in group)
            )
            for number, prompt, group in zip(row_numbers, prompts, completions, strict=True)
        ]

    def _log_samples(self, step: int, groups: Sequence[RolloutGroup]) -> None:
        """Log the completions with the highest and the lowest reward."""
        completions = [(group, completion) for group in groups for completion in group.completions]
        best = max(completions, key=lambda pair: pair[1].grade.reward)
        worst = min(completions, key=lambda pair: pair[1].grade.reward)
        records = [self._record(step, which, *pair) for which, pair in (("best", best), ("worst", worst))]
        what = f"step {step}: the best and the worst answer"
        self.context.checkpoints.try_write(lambda: self.sample_log.add(records), what, self.context.warn)

    def _record(self, step: int, which: str, group: RolloutGroup, completion: Completion) -> SampleRecord:
        row = self.context.data[group.row]
        return SampleRecord(
            step=step,
            which=which,
            row=row.id,
            prompt=text_content(row.prompt[-1]) or "",
            answer=completion.text,
            reward=completion.grade.reward,
            parts=dict(completion.grade.parts),
            error=completion.grade.error,
            tokens=len(completion.tokens.ids),
            truncated=not completion.tokens.stopped,
        )

    def _seed(self, step: int, attempt: int) -> int:
        return int(np.random.SeedSequence([self.recipe.seed, step, attempt]).generate_state(1)[0])


def _prompts(rows: TokenRows) -> list[Ints]:
    return [example.sequences[0].ids for example in rows.examples()]


def _with_values(name: str, examples: Sequence[Example], values: Sequence[Floats]) -> list[Example]:
    return [
        replace(example, experience=replace(example.experience, **{name: value}))  # type: ignore[type-var]
        for example, value in zip(examples, values, strict=True)
    ]


_ARRAYS = ("sampled", "old", "reference", "correction")


def _to_plain(example: Example) -> dict[str, Any]:
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


def _from_plain(plain: dict[str, Any]) -> Example:
    arrays = {name: value.numpy() for name, value in plain["arrays"].items()}
    sequence = TokenizedConversation(plain["ids"].numpy(), plain["supervised"].numpy())
    return Example((sequence,), experience=Experience(plain["advantage"], plain["weight"], **arrays))
