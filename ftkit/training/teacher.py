"""The teacher of a distillation: a model on this machine that reads what the model in training reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ftkit.errors import RefusedError
from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.load_for_inference import load_for_answers, own_precision
from ftkit.modeling.model_source import find_source
from ftkit.modeling.packed_forward import PackedForward, prefix_sharing_problem
from ftkit.modeling.prefix_tree import PackedSequence, pack_sequences
from ftkit.modeling.pretrained import Pretrained, plain_attention
from ftkit.modeling.rope_boundary import pack_by_length
from ftkit.modeling.token_logits import TokenLogits, map_logits
from ftkit.modeling.tokenized_example import Example, TeacherTokens, TokenizedConversation
from ftkit.training.losses.jensen_shannon import log_rest

__all__ = ["Teacher"]

Tensor = torch.Tensor


class Teacher:
    """A loaded teacher.

    Args:
        name: as in the recipe, ``"local:NAME"``.
        student: the model in training.
        device: where the teacher is loaded to.
        sequences: conversations like those that it will read.

    Raises:
        ModelError: there is no such model, or it cannot be loaded.
        RefusedError: its tokens are not those of the student.
    """

    def __init__(
        self, name: str, student: Pretrained, device: torch.device, sequences: list[TokenizedConversation]
    ) -> None:
        source = find_source(name.removeprefix("local:"))
        loaded = load_for_answers(source, precision=own_precision(source, device), device=device)
        _check_tokens(name, loaded, student)
        self.model = loaded.model.requires_grad_(requires_grad=False)
        self.vocabulary = min(_outputs(self.model), _outputs(student.model))
        if plain_attention(self.model.config):
            self.model.set_attn_implementation(TREE_ATTENTION)
        with torch.no_grad():
            problem = prefix_sharing_problem(self.model, device, sequences)
        if problem is not None and self.model.config._attn_implementation == TREE_ATTENTION:
            self.model.set_attn_implementation("sdpa")
        self.forward = PackedForward(self.model, device, shared=problem is None)

    @torch.no_grad()
    def token_logits(self, pack: PackedSequence, examples: Sequence[Example]) -> TokenLogits:
        """Prepare the logits of a pack's supervised tokens.

        Args:
            pack: the packed sequence, as the student reads it.
            examples: the examples in it.

        Returns:
            The logits over the tokens that teacher and student have in common, in the order of the student's.
        """
        if self.forward.shared:
            found = self.forward.token_logits(pack)
        else:  # each sequence alone
            alone = [
                self.forward.token_logits(pack_sequences([sequence], share=False))
                for example in examples
                for sequence in example.sequences
            ]
            inputs, targets = torch.cat([each.inputs for each in alone]), torch.cat([each.targets for each in alone])
            found = TokenLogits(inputs, alone[0].head, targets)
        head, width = found.head, self.vocabulary
        return replace(found, head=lambda inputs: head(inputs)[:, :width])

    @torch.no_grad()
    def likeliest(self, examples: Sequence[Example], count: int, max_tokens: int) -> list[TeacherTokens]:
        """Find the likeliest tokens at each supervised token of some examples.

        Args:
            examples: each of one sequence.
            count: tokens at each position.
            max_tokens: tokens computed in one pass.

        Returns:
            The tokens of each example.
        """
        count = min(count, self.vocabulary)
        by_example: dict[int, TeacherTokens] = {}
        budget = max_tokens if self.forward.shared else 1
        for pack, packed in pack_by_length(examples, budget, self.forward.boundary, share=self.forward.shared):

            def top(logits: Tensor, part: slice) -> tuple[Tensor, ...]:
                logprobs = logits.log_softmax(dim=1)
                values, tokens = logprobs.topk(count, dim=1)
                everything = count == logprobs.shape[1]
                rest = logprobs.new_full((len(logprobs),), -torch.inf) if everything else log_rest(logprobs, tokens)
                return tokens.int(), values, rest

            tokens, values, rest = (each.cpu() for each in map_logits(self.token_logits(pack, packed), top))
            ends = np.cumsum([int(example.sequences[0].supervised.sum()) for example in packed]).tolist()
            for example, start, end in zip(packed, [0, *ends[:-1]], ends, strict=True):
                parts = (each[start:end].numpy() for each in (tokens, values, rest))
                by_example[id(example)] = TeacherTokens(*parts)
        return [by_example[id(example)] for example in examples]


def _outputs(model: object) -> int:
    return int(model.get_output_embeddings().weight.shape[0])  # type: ignore[attr-defined]


def _check_tokens(name: str, teacher: Pretrained, student: Pretrained) -> None:
    """Refuse a teacher whose tokenizer gives the student's token ids another meaning."""
    theirs, ours = teacher.tokenizer.get_vocab(), student.tokenizer.get_vocab()
    other = next((token for token, number in ours.items() if theirs.get(token) != number), None)
    if other is not None:
        raise RefusedError(
            f"teacher: {name!r} has other tokens than {student.source.name!r} (for example {other!r}), so it cannot "
            "judge its answers token by token; take a teacher of the same family, or learn the teacher's answers with "
            "SFT",
            backend="local",
            fields=("teacher",),
        )
