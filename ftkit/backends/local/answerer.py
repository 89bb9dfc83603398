"""Answers from models that this process loads, and what their weights tell beside answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.local.engine_answerer import EngineAnswerer
from ftkit.inference.embeddings import embeddings
from ftkit.inference.likelihood import divergences, text_losses
from ftkit.inference.reward_scoring import score
from ftkit.inference.shared_pool import shared_pool
from ftkit.modeling.device import describe_machine, free_memory_bytes, torch_dtype
from ftkit.task import Message
from ftkit.training.artifact import versions

__all__ = ["LocalAnswerer"]


class LocalAnswerer(EngineAnswerer):
    """A model that this process loads. All who ask for the same name share it.

    See :class:`ftkit.inference.limits.LoadedModelLimits` for when a model is unloaded.

    Args:
        name: as :func:`ftkit.modeling.model_source.find_source` takes it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, shared_pool)

    @override
    def about(self) -> dict[str, Any]:
        """Describe the model; see :class:`ftkit.backends.Answerer`.

        Returns:
            Plain JSON values.
        """
        with shared_pool().lease(self._name) as lease:
            pretrained = lease.pretrained
            source, device = pretrained.source, pretrained.model.device
            return {
                "model": source.name,
                "base": Path(source.base).name if Path(source.base).is_dir() else source.base,
                "adapter": None if source.adapter is None else str(source.adapter),
                "precision": pretrained.precision,
                "quantisation": None if source.quantisation is None else source.quantisation.quant_type,
                "template_hash": lease.chat_template.template_hash,
                **({"template_day": date.today().isoformat()} if lease.chat_template.writes_day else {}),
                "parameters": pretrained.model.num_parameters(),
                **describe_machine(device),
                "versions": versions(),
            }

    def room_for_another(self) -> bool:
        """Say whether an unquantised model of the same size fits into the free memory beside this one.

        Returns:
            True if it fits.
        """
        with shared_pool().lease(self._name) as lease:
            pretrained = lease.pretrained
            needed = pretrained.model.num_parameters() * torch_dtype(pretrained.precision).itemsize
            return bool(free_memory_bytes(pretrained.model.device) > 1.3 * needed)  # 0.3 for what generation takes

    def embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts; see :func:`ftkit.inference.embeddings.embeddings`.

        Args:
            texts: the texts.

        Returns:
            One vector of the model's hidden size per text.
        """
        with shared_pool().lease(self._name) as lease:
            return lease.call(lambda pretrained: embeddings(pretrained, texts)).result()

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """Score conversations with a reward model; see :func:`ftkit.inference.reward_scoring.score`.

        Args:
            conversations: each ends with an assistant turn.

        Returns:
            One score per conversation.

        Raises:
            ModelError: this is not a reward model.
            DataError: a conversation cannot be scored.
        """
        with shared_pool().lease(self._name, scores=True) as lease:
            return lease.call(lambda pretrained: score(pretrained, conversations)).result()

    def text_losses(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Measure how likely texts are; see :func:`ftkit.inference.likelihood.text_losses`.

        Args:
            texts: plain texts.

        Returns:
            For each text its negative log-likelihood in nats and its number of predicted tokens.
        """
        with shared_pool().lease(self._name) as lease:
            return lease.call(lambda pretrained: text_losses(pretrained, texts)).result()

    def divergence_from(
        self, base: LocalAnswerer, conversations: Sequence[Sequence[Message]]
    ) -> list[tuple[float, int]]:
        """Measure KL(base ‖ this model); see :func:`ftkit.inference.likelihood.divergences`.

        Args:
            base: the other model.
            conversations: the divergence is measured over the last turn of each.

        Returns:
            For each conversation the divergence in nats, summed over its tokens, and their number.
        """
        pool = shared_pool()
        with pool.lease(base._name) as first, pool.lease(self._name) as second:
            return divergences(
                lambda function: first.call(function).result(),
                lambda function: second.call(function).result(),
                conversations,
            )
