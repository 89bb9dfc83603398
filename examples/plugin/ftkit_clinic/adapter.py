"""An adapter: VeRA (Kopiczko et al. 2024, arXiv 2310.11454), which PEFT has and ftkit does not.

All layers share two frozen random matrices A and B. Of each layer only two vectors are trained, d of the rank's length
and b of the output's: W·x + b ∘ (B·(d ∘ (A·x))).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from ftkit.recipe import Adapter
from ftkit.training.adapters import AdapterTuner


class VeRATuner(AdapterTuner["VeRA"]):
    """Puts VeRA on a model. PEFT is imported when a model is there, in the training process."""

    def peft_config(self, model: Any) -> Any:
        from peft import VeraConfig

        adapter = self.adapter
        modules = adapter.target_modules
        return VeraConfig(
            r=adapter.rank,
            d_initial=adapter.d_initial,
            vera_dropout=adapter.dropout_probability,
            projection_prng_key=adapter.projection_seed,
            target_modules=modules if isinstance(modules, str) else list(modules),
        )


class VeRA(Adapter):
    """Vectors beside frozen random matrices that all layers share: a tenth of LoRA's trainable parameters or less."""

    tuner_class: ClassVar[str | type] = VeRATuner
    elementwise_passes: ClassVar[int] = 6
    kernel_calls: ClassVar[int] = 7
    servers: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {
            "server": "vLLM",
            "takes": "no",
            "why": "knows lora_A and lora_B alone; export merged",
            "source": "https://github.com/vllm-project/vllm/blob/001e63a89b474b88345fd72912fe068c4ae83f41/vllm/lora/utils.py",
            "as_of": "2026-11-24",
        },
    )

    kind: Literal["vera"] = "vera"
    rank: int = Field(default=256, ge=1, le=4096)
    """Rank of the shared matrices."""
    d_initial: float = Field(default=0.1, gt=0.0)
    """First value of the vectors d."""
    dropout_probability: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout on the adapter's input."""
    projection_seed: int = 0
    """Random seed of the shared matrices."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the linear layers that get an adapter."""

    @property
    def dropout(self) -> float:
        return self.dropout_probability

    def trainable_parameters(self, inputs: int, outputs: int) -> int:
        return self.rank + outputs

    def frozen_bytes(self, shapes: Sequence[tuple[int, int]]) -> int:
        return 4 * self.rank * (max(inputs for inputs, _ in shapes) + max(outputs for _, outputs in shapes))

    @classmethod
    def matches_peft_config(cls, config: Mapping[str, Any], *, quantised: bool) -> bool:
        return config.get("peft_type") == "VERA"
