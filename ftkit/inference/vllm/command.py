"""The command line and the environment of ``vllm serve``."""

from __future__ import annotations

import os

from ftkit.inference.vllm.settings import VLLMSettings

__all__ = ["BASE", "serve_arguments", "server_environment"]

BASE = "base"
"""Name of the base model at a server that ftkit starts."""
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "VLLM_API_KEY")
"""Variables that would mix this environment with vLLM's."""


def serve_arguments(
    settings: VLLMSettings, model: str, port: int, *, dtype: str, loads_adapters: bool, processed: bool
) -> list[str]:
    """Write the arguments of the program.

    Args:
        settings: how it is started.
        model: folder or hub id of the base model.
        port: port of the loopback interface.
        dtype: precision, as vLLM names it.
        loads_adapters: whether adapters may be loaded beside the base.
        processed: whether log-probabilities are those at the temperature of each request.

    Returns:
        The arguments.
    """
    arguments = ["serve", model, "--host", "127.0.0.1", "--port", str(port), "--served-model-name", BASE]
    arguments += [
        "--dtype",
        dtype,
        "--max-num-seqs",
        str(settings.max_num_seqs),
        "--generation-config",
        "vllm",
    ]
    # llguidance is what ftkit's own engine uses, so the same grammars hold answers in the same way.
    mode = "processed_logprobs" if processed else "raw_logprobs"
    arguments += ["--structured-outputs-config", '{"backend": "guidance"}', "--logprobs-mode", mode]
    arguments += ["--enable-prompt-tokens-details", "--trust-request-chat-template", "--disable-log-stats"]
    arguments += ["--disable-uvicorn-access-log"]
    if loads_adapters:
        arguments += ["--enable-lora", "--max-loras", str(settings.max_loras)]
        arguments += ["--max-lora-rank", str(settings.max_lora_rank)]
    if settings.max_model_len is not None:
        arguments += ["--max-model-len", str(settings.max_model_len)]
    if settings.gpu_memory_utilization is not None:
        arguments += ["--gpu-memory-utilization", str(settings.gpu_memory_utilization)]
    return [*arguments, *settings.options]


def server_environment(key: str) -> dict[str, str]:
    """Make the environment of the server: this one without what belongs to this Python, and without other keys.

    Args:
        key: the API key that it shall want.

    Returns:
        The variables.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _FOREIGN and not name.endswith(("_API_KEY", "_SECRET_ACCESS_KEY"))
    }
    own = {"VLLM_API_KEY": key, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    return {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", **kept, **own}
