"""Kahneman-Tversky optimisation (arXiv 2402.01306) and its variant; see :class:`ftkit.recipe.KTO`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from typing_extensions import override

from ftkit.data import Row
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from ftkit.recipe import KTO
from ftkit.training.dataloader import TokenRows
from ftkit.training.estimation.workload import Workload, pack_sizes
from ftkit.training.losses.base import Loss, LossOutput
from ftkit.training.losses.mismatched_answers import mismatched, with_answer
from ftkit.training.losses.preference_pairs import render_pair

__all__ = ["KTOLoss", "kto_losses"]

Tensor = torch.Tensor


class KTOLoss(Loss[KTO]):
    """The loss of labelled answers, from how much likelier each one became since training began."""

    source_class: ClassVar[str | type] = "ftkit.training.unpaired_source:UnpairedSource"

    @override
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        if row.label is None:
            pair = render_pair(row, chat_template)
            return [Example(pair.sequences, labels=(True, False))]
        conversation = [*row.prompt, row.labelled_answer]
        return [Example((chat_template.encode_answer(conversation, row.tools, row.place),), labels=(row.label,))]

    @override
    def size(self, examples: Sequence[Example]) -> float:
        return float(sum(len(example.sequences) for example in examples))

    @override
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        logprobs = forward.sequence_logprobs(pack)

        def tensor(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, device=logprobs.device)

        logratios = logprobs - tensor([value for example in examples for value in example.reference or ()])
        labels = tensor([label for example in examples for label in example.labels])
        divergences = tensor([example.divergence for example in examples for _ in example.labels])
        losses = kto_losses(logratios, labels, divergences, self.recipe)
        rewards = self.recipe.beta * logratios.detach()
        metrics = {
            "rewards_chosen": float(rewards[labels].sum()),
            "rewards_rejected": float(rewards[~labels].sum()),
            "chosen": float(labels.sum()),
            "kl": float(divergences.sum()),
        }
        return LossOutput(losses.sum(), metrics)

    @override
    def means(self, sums: Mapping[str, float], size: float) -> dict[str, float]:
        good = sums.get("chosen", 0.0)
        found = {"kl": sums.get("kl", 0.0) / size}
        if good:
            found["rewards_chosen"] = sums["rewards_chosen"] / good
        if good < size:
            found["rewards_rejected"] = sums["rewards_rejected"] / (size - good)
        if 0 < good < size:
            found["rewards_margin"] = found["rewards_chosen"] - found["rewards_rejected"]
        return found

    @override
    def sample_sequences(self, examples: Sequence[Example]) -> list[TokenizedConversation]:
        sequences = super().sample_sequences(examples)
        longest_prompt = max(sequences, key=lambda sequence: int(sequence.supervised.argmax()))
        longest_answer = max(sequences, key=lambda sequence: len(sequence.ids) - int(sequence.supervised.argmax()))
        return [*sequences, with_answer(longest_prompt, longest_answer)]

    @override
    def workload(
        self,
        rows: TokenRows,
        *,
        shared: bool,
        total_rows: int | None = None,
        validation: TokenRows | None = None,
        total_validation_rows: int | None = None,
    ) -> Workload:
        known = super().workload(
            rows,
            shared=shared,
            total_rows=total_rows,
            validation=validation,
            total_validation_rows=total_validation_rows,
        )
        if self.recipe.loss_type != "kto":
            return known
        batches = rows.batches(0, int(self.recipe.batch_size), self.recipe.seed)
        packs = [pack for batch in batches for pack in pack_sizes(mismatched(batch, rows), self.recipe, shared=shared)]
        evaluated = () if validation is None else pack_sizes(validation.examples(), self.recipe, shared=shared)
        return replace(
            known,
            comparison_packs=(*packs, *packs),  # of the model and of the reference
            validation_packs=(*known.validation_packs, *evaluated, *evaluated),
        )


def kto_losses(logratios: Tensor, labels: Tensor, divergences: Tensor, recipe: KTO) -> Tensor:
    """Compute the loss of each of N answers.

    Args:
        logratios: log π − log π_ref of the answer, summed over its tokens ``[N]``.
        labels: whether it is a good answer, bool ``[N]``.
        divergences: the estimate of KL(π ‖ π_ref) on its batch, at least 0 ``[N]``.
        recipe: β, the kind of loss, and the weights of good and of bad answers.

    Returns:
        Losses ``[N]``: equation 7 of the paper, or of APO's (arXiv 2408.06266).
    """
    baseline = divergences if recipe.loss_type == "kto" else torch.zeros_like(divergences)
    gain = recipe.beta * (logratios - baseline)
    return torch.where(
        labels,
        recipe.desirable_weight * (1 - torch.sigmoid(gain)),
        recipe.undesirable_weight * (1 - torch.sigmoid(-gain)),
    )
