"""Rollouts by vLLM: a server of its own for the run, which loads the adapter anew whenever its weights have changed."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from typing_extensions import override

from ftkit.errors import ModelError, RefusedError, TrainingError
from ftkit.inference.multi_lora import free_unused_memory
from ftkit.inference.offline import PendingGenerations
from ftkit.inference.vllm.adapters import merge_into, why_not_loaded
from ftkit.inference.vllm.rollout_settings import VLLMRollouts
from ftkit.inference.vllm.server import VLLMServer, Wanted
from ftkit.modeling.device import default_device
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.tokenized_example import Ints
from ftkit.recipe import Quantization
from ftkit.training.checkpoint import NOT_WRITTEN, why_not_written
from ftkit.training.example_source import TrainingContext
from ftkit.training.rollout_groups import SampledTokens
from ftkit.training.rollout_sampler import RolloutSampler

__all__ = ["VLLMSampler"]

_FOLDER = "rollout-adapters"


class VLLMSampler(RolloutSampler):
    """Samples from a vLLM server, which the first worker starts and asks; all get the completions.

    Each state of the adapter has a name of its own at the server, from a digest of its weights: vLLM reuses computed
    prompts by the adapter's name and folder.

    Args:
        context: what the run trains with.
        engine: the server's settings.
    """

    def __init__(self, context: TrainingContext, engine: VLLMRollouts) -> None:
        super().__init__(context, engine)
        self._server: VLLMServer | None = None
        self._loaded: str | None = None
        self._run = secrets.token_hex(4)  # at a server that several runs use
        self._folder = context.samples_file.with_name(_FOLDER)

    @override
    def setup(self, longest: int) -> None:
        recipe, device = self.context.recipe, default_device().type
        settings = self.engine.for_rollouts(recipe.adapter.inner_width, longest, device)
        [config] = self.context.adapted.model.peft_config.values()
        problem = why_not_loaded(config, settings.max_lora_rank)
        if problem is not None:
            raise RefusedError(
                f'rollouts="vllm": vLLM cannot load this run\'s adapter beside its base: {problem}. Take '
                'rollouts="torch"',
                backend="local",
                fields=("rollouts", "adapter"),
            )
        self.context.computer.workers.from_first(lambda: self._start(settings, longest))

    @override
    def sample(
        self, prompts: Sequence[Ints], *, max_new_tokens: int, temperature: float, top_p: float, seed: int
    ) -> list[SampledTokens]:
        adapted = self.context.adapted
        tensors = adapted.weights.tensors(adapted.parameters)

        def ask() -> list[SampledTokens]:
            assert self._server is not None  # noqa: S101  (setup has started it)
            pending = PendingGenerations(
                self._server.engine,
                prompts,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
                stop_token_ids=self.context.pretrained.chat_template.stop_ids,
                adapter=self._load(self._server, tensors),
                sampling_logprobs=bool(temperature),
            )
            try:
                answers = [future.result() for future in pending.futures]
            finally:
                pending.cancel()
            return [SampledTokens(each.ids, each.logprobs, each.stopped) for each in answers]

        return self.context.computer.workers.from_first(ask)

    @override
    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        if self.context.computer.workers.is_first:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, settings: Any, longest: int) -> None:
        context = self.context
        source, precision = context.pretrained.source, context.pretrained.precision
        shutil.rmtree(self._folder, ignore_errors=True)  # of a worker that was killed
        quantization = context.recipe.adapter.quantization
        if quantization is not None and settings.url is None:
            source = self._expanded(source, quantization, precision)
        wanted = Wanted(source.name, source, ("rollouts",), (), None, (), precision, None)
        server = VLLMServer(settings, wanted, processed=context.recipe.temperature != 1)
        self._server = server
        server.serve(wanted).result()  # compares the tokens
        limit = server.engine.max_length
        if limit is not None and limit < longest:
            raise ModelError(
                f"the vLLM server takes {limit:,} tokens, and the longest prompt with its answer has {longest:,}: "
                "raise max_model_len, or lower max_output_tokens or max_length"
            )
        if settings.url is not None and (context.recipe.temperature != 1 or context.recipe.top_p < 1):
            server.check_logprobs()
        about = {"engine": "vllm", "version": server.version, "dtype": server.dtype, "url": settings.url}
        context.emit("log", {"message": "vLLM samples the rollouts", **{k: v for k, v in about.items() if v}})

    def _expanded(self, source: ModelSource, quantization: Quantization, precision: str) -> ModelSource:
        """Write the base with the values of its 4-bit weights, so that vLLM has those of the trainer."""
        folder = self._folder / "base"
        try:
            folder.mkdir(parents=True)
            merge_into(replace(source, adapter=None, quantisation=quantization), folder, precision)
        except OSError as error:
            raise TrainingError(
                f"could not write the expanded base for vLLM to {folder}: {why_not_written(error, self._folder.parent)}"
            ) from error
        free_unused_memory()
        return replace(source, base=str(folder))

    def _load(self, server: VLLMServer, tensors: dict[str, torch.Tensor]) -> str:
        """Have the server load the adapter as it is now; return its name there."""
        try:
            written = self._folder / "next"
            shutil.rmtree(written, ignore_errors=True)
            written.mkdir(parents=True)
            with quiet():
                self.context.adapted.model.save_pretrained(written, state_dict=tensors)
            content = hashlib.sha256()
            for file in sorted(written.glob("adapter_*")):
                with file.open("rb") as opened:
                    content.update(hashlib.file_digest(opened, "sha256").digest())
            name = f"ftkit-{self._run}-{content.hexdigest()[:24]}"
            if name == self._loaded:
                return name
            folder = written.rename(self._folder / name)
        except NOT_WRITTEN as error:
            raise TrainingError(
                f"could not write the adapter for vLLM to {self._folder}: "
                f"{why_not_written(error, self._folder.parent)}. Once there is room, the run can be resumed"
            ) from error
        before, self._loaded = self._loaded, None
        server.load(name, folder)
        self._loaded = name
        if before is not None:
            server.unload(before)
            with contextlib.suppress(OSError):
                shutil.rmtree(self._folder / before)
        return name
