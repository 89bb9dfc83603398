"""vLLM as what samples rollouts: what a recipe may say of it, and the settings of its server."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from typing_extensions import override

from ftkit.inference.vllm.settings import EXECUTABLE, VLLMSettings
from ftkit.recipe.rollout_engines import RolloutEngine

__all__ = ["VLLMRollouts"]

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for."""
_URL = "FTKIT_VLLM_URL"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BESIDE_TRAINING = 0.3
"""Share of a GPU's memory for the server. TRL's default for a colocated vLLM."""
_RECIPE_OPTIONS = (
    "--enforce-eager", "--tensor-parallel-size", "--pipeline-parallel-size", "--max-num-batched-tokens", "--block-size",
    "--kv-cache-dtype", "--kv-cache-memory-bytes", "--cpu-offload-gb", "--attention-backend",
    "--no-enable-prefix-caching", "--no-enable-chunked-prefill", "--disable-custom-all-reduce",
)  # fmt: skip
"""Options that load no code and no files. A recipe is a file that others may have written."""


class VLLMRollouts(VLLMSettings, RolloutEngine):
    """A vLLM server that samples rollouts. It loads the adapter in training anew whenever its weights have changed."""

    sampler_class: ClassVar[str | type] = "ftkit.training.vllm_sampler:VLLMSampler"

    kind: Literal["vllm"] = "vllm"

    @override
    def problem(self, recipe: Any) -> tuple[str, tuple[str, ...]] | None:
        adapter, named = recipe.adapter, 'rollouts="vllm"'
        if not adapter.loads_at_run_time:
            return (
                f"{named}: the server loads the adapter anew at each step, which vLLM does with plain LoRA alone, and "
                f'this is {type(adapter).__name__}. Take ft.LoRA() or ft.QLoRA(), or rollouts="torch"',
                ("rollouts", "adapter"),
            )
        rank = adapter.inner_width
        if rank > (_RANKS[-1] if self._rank_is_open else self.max_lora_rank):
            limit = f"max_lora_rank={self.max_lora_rank}" if not self._rank_is_open else f"vLLM's largest, {_RANKS[-1]}"
            return f"{named}: the adapter's rank {rank} is above {limit}", ("rollouts", "adapter.rank")
        if recipe.temperature != 1 and recipe.top_p < 1:
            return (
                f"{named}: with top_p={recipe.top_p:g}, vLLM reports log-probabilities at temperature 1 alone, and "
                f"temperature is {recipe.temperature:g}. Set one of them to 1",
                ("rollouts", "top_p", "temperature"),
            )
        return self._of_this_machine(named)

    def _of_this_machine(self, named: str) -> tuple[str, tuple[str, ...]] | None:
        """What a recipe may not say of vLLM, because it could be another one's: programs, code and keys."""
        if self.executable is not None:
            return (
                f"{named}: a recipe names no program to run; set the environment variable {EXECUTABLE} to "
                f"{self.executable!r}, and leave executable out",
                ("rollouts",),
            )
        key = type(self).model_fields["api_key_env"].default
        if self.api_key_env != key:
            return f"{named}: a recipe chooses no key; put the server's into {key}", ("rollouts",)
        if self.url is not None and self.api_key() is not None and not _may_have_the_key(self.url):
            return (
                f"{named}: the key in {key} would be sent to {self.url}, which the recipe names. Set the environment "
                f"variable {_URL} to the same address to allow it, or unset {key}",
                ("rollouts",),
            )
        foreign = [
            option
            for option in self.options
            if option.startswith("-") and option.partition("=")[0].replace("_", "-") not in _RECIPE_OPTIONS
        ]
        if foreign:
            return (
                f"{named}: a recipe takes the options {', '.join(_RECIPE_OPTIONS)}, which load no code, and not "
                f"{', '.join(foreign)}. Start the server yourself, and name it: ft.VLLM(url=…)",
                ("rollouts",),
            )
        return None

    @property
    def _rank_is_open(self) -> bool:
        return bool(self.max_lora_rank == type(self).model_fields["max_lora_rank"].default)

    @override
    def check_installed(self) -> None:
        if self.url is None:
            self.find_executable()

    @override
    def memory_share(self, device: str) -> float:
        if device == "cpu" or self.url is not None:
            return 0.0
        return _BESIDE_TRAINING if self.gpu_memory_utilization is None else self.gpu_memory_utilization

    @override
    def plan_notes(self, device: str) -> tuple[str, ...]:
        time = "seconds are those of rollouts by ftkit's own engine; vLLM's are others, and its start takes a minute"
        if self.url is not None:
            return (f"memory of the vLLM server at {self.url} is not included", time)
        if device == "cpu":
            return ("memory of vLLM (its weights, and VLLM_CPU_KVCACHE_SPACE) is not included", time)
        share = self.memory_share(device)
        return (f"vLLM takes {share:.0%} of the GPU's memory for the rollouts, so the run has the rest", time)

    def for_rollouts(self, rank: int, longest: int, device: str) -> VLLMSettings:
        """Return the settings of the server: with room for one adapter, and beside the training.

        Args:
            rank: rank of the adapter.
            longest: longest prompt with its answer, in tokens.
            device: ``"cpu"`` or ``"cuda"``.

        Returns:
            The settings; of a server that runs already, unchanged.
        """
        if self.url is not None:
            return self
        update: dict[str, object] = {"max_loras": 1}
        if self._rank_is_open:
            update["max_lora_rank"] = next(one for one in _RANKS if one >= rank)
        if self.max_model_len is None:
            update["max_model_len"] = longest
        if device != "cpu":
            update["gpu_memory_utilization"] = self.memory_share(device)
        return self.model_copy(update=update)


def _may_have_the_key(url: str) -> bool:
    """Whether a server is on this machine, or is the one that the environment names."""
    return urlsplit(url).hostname in _LOOPBACK or os.environ.get(_URL, "").rstrip("/") == url.rstrip("/")
