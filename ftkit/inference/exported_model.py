"""Load an exported model as other programs do: by transformers and PEFT alone, from the folder's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from ftkit.errors import ExportError
from ftkit.modeling.device import default_device
from ftkit.modeling.expert_weights import plain_experts, quantise_experts
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.logits import logits_at
from ftkit.modeling.merge import DTYPES
from ftkit.modeling.model_source import Quantization
from ftkit.modeling.tokenized_example import Ints

__all__ = ["Exported", "answer_logits", "load_adapter", "load_whole"]


@dataclass(slots=True)
class Exported:
    """A model loaded from an export."""

    model: Any
    tokenizer: Any
    generation_config: Any

    def decode(self, tokens: Sequence[int]) -> str:
        """Write tokens as text.

        Args:
            tokens: token ids.

        Returns:
            The text.
        """
        return str(self.tokenizer.decode(list(tokens)))

    @torch.inference_mode()
    def logits(self, prompt: Ints, answer: Sequence[int]) -> torch.Tensor:
        """Compute the logits with which the model would have chosen each token of an answer.

        Args:
            prompt: token ids of the prompt.
            answer: token ids of the answer.

        Returns:
            ``[answer tokens, vocabulary]``, float32 on the CPU.
        """
        return answer_logits(self.model, prompt, answer)

    @torch.inference_mode()
    def greedy(self, prompt: Ints, limit: int) -> tuple[int, ...]:
        """Answer a prompt with the likeliest token each time.

        Args:
            prompt: token ids of the prompt.
            limit: most tokens of the answer.

        Returns:
            The answer in tokens, the end of turn included.
        """
        ids = torch.tensor([prompt.tolist()], device=self.model.device)
        with quiet():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=self.generation_config,
                max_new_tokens=limit,
                do_sample=False,
            )
        return tuple(out[0, ids.shape[1] :].tolist())


def answer_logits(model: Any, prompt: Ints, answer: Sequence[int]) -> torch.Tensor:
    """Compute the logits with which a model would have chosen each token of an answer.

    Args:
        model: the model of transformers.
        prompt: token ids of the prompt.
        answer: token ids of the answer.

    Returns:
        ``[answer tokens, vocabulary]``, float32 on the CPU.
    """
    ids = torch.tensor([[*prompt.tolist(), *answer[:-1]]], device=model.device)
    tokens = torch.arange(ids.shape[1] - len(answer), ids.shape[1], device=model.device)
    return logits_at(model, ids, tokens).float().cpu()


def load_whole(folder: Path) -> Exported:
    """Load a merged model in the data type that it was written in.

    Args:
        folder: the exported folder.

    Returns:
        The model with its tokenizer.

    Raises:
        ExportError: it cannot be loaded.
    """
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype="auto", device_map={"": default_device()}, trust_remote_code=False
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ExportError(_load_failure(error)) from error
    return Exported(model.eval(), tokenizer, model.generation_config)


def load_adapter(
    folder: Path, *, base: str, quantisation: Quantization | None, dtype: Literal["bf16", "fp16", "fp32"]
) -> Exported:
    """Load an adapter beside its base.

    Args:
        folder: the exported folder.
        base: folder or hub id of the base model.
        quantisation: hold the base in 4 bits; None holds it in ``dtype``.
        dtype: data type of the weights, or of the arithmetic with 4-bit weights.

    Returns:
        The model with its tokenizer.

    Raises:
        ExportError: it cannot be loaded.
    """
    from transformers import GenerationConfig

    extra: dict[str, Any] = {}
    if quantisation is not None:
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantisation.quant_type,
            bnb_4bit_use_double_quant=quantisation.double_quant,
            bnb_4bit_compute_dtype=DTYPES[dtype],
        )
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                base, dtype=DTYPES[dtype], device_map={"": default_device()}, trust_remote_code=False, **extra
            )
            if quantisation is not None:
                quantise_experts(model, quantisation)  # as in training
            with plain_experts(model):
                model = PeftModel.from_pretrained(model, str(folder))
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            generation_config = GenerationConfig.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ExportError(_load_failure(error)) from error
    return Exported(model.eval(), tokenizer, generation_config)


def _load_failure(error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"transformers cannot load the exported model: {first}"
