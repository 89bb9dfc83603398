"""Losses and log-probabilities of batches, computed in packs that share prefixes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from ftkit.errors import RefusedError
from ftkit.modeling.attention import TREE_ATTENTION, own_attention
from ftkit.modeling.causality import check_causal, trial_tokens
from ftkit.modeling.embedding_noise import EmbeddingNoise
from ftkit.modeling.packed_forward import PackedForward, prefix_sharing_problem
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.rope_boundary import pack_by_length
from ftkit.modeling.tokenized_example import Example, Floats, TokenizedConversation
from ftkit.recipe import Recipe
from ftkit.training.adapters.adapted_model import AdaptedModel
from ftkit.training.losses import Loss
from ftkit.training.worker_group import ALONE, WorkerGroup

__all__ = ["LossComputer", "Packed"]

_TRIAL_TOKENS = 12

Packed = tuple[PackedSequence, list[Example]]
"""A pack, and its examples in the order of its sequences."""


class LossComputer:
    """Computes batches with the model in training.

    Args:
        recipe: resolved.
        loss: what to compute.
        adapted: the model in training.
        device: where it is.
        sequences: conversations like those of the run, to test whether sharing prefixes is exact for the model. Where
            it is not, every sequence is computed alone, and a warning says why.
        warn: called with each warning.
        workers: those that compute each batch together.

    Raises:
        ModelError: the model's predictions depend on later tokens.
        RefusedError: each worker holds a part of the model, which does not compute each pack in one pass.
    """

    def __init__(
        self,
        recipe: Recipe,
        loss: Loss[Any],
        adapted: AdaptedModel,
        device: torch.device,
        sequences: list[TokenizedConversation],
        warn: Callable[[str], None],
        workers: WorkerGroup = ALONE,
    ) -> None:
        self.workers = workers
        self.recipe: Any = recipe  # resolved: no field is "auto"
        self.loss = loss
        self.adapted = adapted
        model = adapted.base_model

        def tried() -> str | None:
            if model.get_output_embeddings() is not None:
                check_causal(model, trial_tokens(model, _TRIAL_TOKENS))
            return prefix_sharing_problem(model, device, sequences)

        with adapted.without_dropout(), torch.no_grad():
            problem = adapted.weights.run(tried)
        if problem is not None:
            if model.config._attn_implementation == TREE_ATTENTION:
                model.set_attn_implementation(own_attention(model))  # which makes the masks that the model needs
            warn(f"rows are computed one by one, because of the model: {problem}")
        self.shares_prefixes = problem is None
        alpha = getattr(recipe, "neftune_noise_alpha", None)
        if alpha is not None:
            adapted.embedding_noise = EmbeddingNoise(model, alpha)
        self.forward = PackedForward(
            model, device, shared=self.shares_prefixes, embedding_noise=adapted.embedding_noise
        )
        if adapted.weights.sharded and (problem is not None or self.forward.boundary is not None):
            why = problem or "its rotary embedding depends on the length of a row"
            raise RefusedError(
                f'strategy="fsdp2": all workers must run the model equally often, and this model computes rows one by '
                f'one: {why}. Take strategy="ddp"',
                backend="local",
                fields=("strategy",),
            )

    def packs(self, examples: Sequence[Example]) -> list[Packed]:
        """Split this worker's share of examples into packs of at most ``max_batch_tokens``.

        Args:
            examples: a batch, the same at every worker.

        Returns:
            The packs; every example is in one of them, at one worker.
        """
        examples = [examples[index] for index in self.workers.share(_tokens(examples))]
        return self.all_packs(examples)

    def all_packs(self, examples: Sequence[Example]) -> list[Packed]:
        """Split examples into packs, all at every worker, for what each of them computes by itself.

        Args:
            examples: any examples.

        Returns:
            The packs; every example is in one of them.
        """
        budget = self.recipe.max_batch_tokens if self.shares_prefixes else 1
        share = self.shares_prefixes and self.recipe.shared_prefix
        return list(pack_by_length(examples, budget, self.forward.boundary, share=share))

    def _passes(self, packs: Sequence[Packed]) -> list[tuple[PackedSequence, list[Example], float]]:
        """This worker's packs with the weight 1; where each worker holds a part of the model, more with the weight 0.

        Returns:
            Equally many at each worker that holds a part, so that all run the model equally often.
        """
        passes = [(*packed, 1.0) for packed in packs]
        if self.adapted.weights.sharded:
            counts = self.workers.gather(len(packs))
            smallest = min(packs, key=lambda packed: len(packed[0].ids), default=None)
            if not min(counts):
                smallest = next((offered for offered in self.workers.gather(smallest) if offered is not None), None)
            if smallest is not None:
                passes += [(*smallest, 0.0)] * (max(counts) - len(packs))
        return passes

    def compute(
        self, packs: Sequence[Packed], size: float, backward: Callable[[torch.Tensor], object]
    ) -> tuple[float, dict[str, float]]:
        """Compute the mean loss of a batch.

        Args:
            packs: this worker's share of the batch, from :meth:`packs`, of examples from
                :meth:`~ftkit.training.losses.Loss.weigh`.
            size: what the loss is divided by, from :meth:`~ftkit.training.losses.Loss.size` of the whole batch.
            backward: called with each pack's part of the mean loss.

        Returns:
            The mean loss of the whole batch and the mean of each metric.
        """
        loss = 0.0
        sums: dict[str, float] = {}
        for pack, examples, weight in self._passes(packs):

            def part_of(packed: Packed = (pack, examples), weight: float = weight) -> tuple[torch.Tensor, Any]:
                output = self.loss.compute(self.forward, *packed)
                return output.total / size * weight, output.metrics

            part, metrics = self.adapted.weights.run(part_of)
            backward(part)
            if weight:
                loss += float(part.detach())
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0.0) + value
        if self.workers.size > 1:
            parts = self.workers.gather((loss, sums))
            loss = sum(part for part, _ in parts)
            names = dict.fromkeys(name for _, part in parts for name in part)
            sums = {name: sum(part.get(name, 0.0) for _, part in parts) for name in names}
        return loss, self.loss.means(sums, size)

    @torch.no_grad()
    def evaluate(self, examples: Sequence[Example]) -> tuple[float, dict[str, float]]:
        """Compute the mean loss of examples without gradients and without dropout.

        Args:
            examples: of any number.

        Returns:
            The mean loss and the mean of each metric.
        """
        with self.adapted.without_dropout():
            return self.compute(self.packs(self.loss.weigh(examples)), self.loss.size(examples), lambda part: None)

    @torch.no_grad()
    def sequence_logprobs(self, examples: Sequence[Example]) -> torch.Tensor:
        """Compute the log-probability of each sequence's supervised tokens, summed, under the current model.

        Args:
            examples: of any number.

        Returns:
            Log-probabilities of all sequences of all examples in order, float32 ``[N]``.
        """

        def compute(indices: list[int], own: list[Example]) -> list[list[float]]:
            by_example: dict[int, list[float]] = {}
            for pack, packed, weight in self._passes(self.all_packs(own)):
                found = self.adapted.weights.run(partial(self.forward.sequence_logprobs, pack))
                values = iter(found.tolist())
                for example in packed if weight else ():
                    by_example[id(example)] = [next(values) for _ in example.sequences]
            return [by_example[id(example)] for example in own]

        with self.adapted.without_dropout():
            of_examples = self.workers.map_shares(examples, _tokens(examples), compute)
        return torch.tensor([value for values in of_examples for value in values])

    @torch.no_grad()
    def token_logprobs(self, examples: Sequence[Example], temperature: float) -> list[Floats]:
        """Compute the log-probability of each supervised token under the current model.

        Args:
            examples: each of one sequence.
            temperature: divides the logits.

        Returns:
            For each example its tokens' log-probabilities, float32 ``[supervised tokens]``.
        """

        def compute(indices: list[int], own: list[Example]) -> list[Floats]:
            by_example: dict[int, Floats] = {}
            for pack, packed, weight in self._passes(self.all_packs(own)):
                tokens = self.adapted.weights.run(partial(self.forward.token_logprobs, pack, temperature))
                if not weight:
                    continue
                counts = torch.bincount(tokens.sequence_indices, minlength=len(packed)).tolist()
                parts = torch.split(tokens.logprobs.cpu(), counts)
                by_example |= {id(example): part.numpy() for example, part in zip(packed, parts, strict=True)}
            return [by_example[id(example)] for example in own]

        with self.adapted.without_dropout():
            return self.workers.map_shares(examples, _tokens(examples), compute)


def _tokens(examples: Sequence[Example]) -> list[int]:
    return [sum(len(sequence.ids) for sequence in example.sequences) for example in examples]
