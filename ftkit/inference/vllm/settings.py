"""Which vLLM server answers, and how it is started."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from ftkit.errors import ConfigError
from ftkit.schema import DeclaredModel

__all__ = ["EXECUTABLE", "VLLMSettings"]

EXECUTABLE = "FTKIT_VLLM"
"""Environment variable with the path of the ``vllm`` program."""

_OWN_OPTIONS = (
    "--host", "--port", "--uds", "--api-key", "--model", "--tokenizer", "--served-model-name", "--dtype",
    "--max-model-len", "--max-num-seqs", "--enable-lora", "--max-loras", "--max-lora-rank", "--generation-config",
    "--structured-outputs-config", "--logprobs-mode", "--chat-template", "--config", "--quantization",
    "--gpu-memory-utilization", "--no-enable-lora", "--model-tag", "-q",
)  # fmt: skip
"""Options that ftkit sets, or on which it relies that nobody does."""

_ELSEWHERE = {
    "--hf-token": "every process of the machine could read it there; set the environment variable HF_TOKEN",
    "--lora-modules": "ftkit loads adapters itself; name the adapter's folder as the model",
    "--api-server-count": "adapters are loaded into one of the processes alone",
    "--headless": "it would answer nothing",
    "--ssl-keyfile": "a server that ftkit starts listens on this machine alone, without TLS",
    "--ssl-certfile": "a server that ftkit starts listens on this machine alone, without TLS",
}
"""Options with which ftkit could not ask the server, or whose values belong elsewhere, and why."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL_OR_BLANK = re.compile(r"[\x00-\x20\x7f]")

_OF_A_START = (
    "dtype", "executable", "gpu_memory_utilization", "max_lora_rank", "max_loras", "max_model_len", "max_servers",
    "options", "start_timeout_s",
)  # fmt: skip
"""Fields that say how a server is started."""


class VLLMSettings(DeclaredModel):
    """Which vLLM server answers, and how it is started."""

    executable: str | None = None
    """The ``vllm`` program of the environment that vLLM is installed in. By default the environment variable
    ``FTKIT_VLLM``, or the ``vllm`` on the search path."""
    url: str | None = None
    """Address of a server that runs already, e.g. ``"http://127.0.0.1:8000"``. ftkit then starts none."""
    api_key_env: str = "FTKIT_VLLM_API_KEY"
    """Environment variable with the API key of the server at ``url``, if it wants one. A server that ftkit starts has a
    key of its own."""
    served_name: str | None = None
    """Name of the base model at ``url``; needed if it serves several."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision. "auto" is that of the model's training, or the one that ftkit's own engine would take."""
    max_model_len: Annotated[int, Field(ge=1)] | None = None
    """Longest prompt with its answer, in tokens. By default the model's own limit, which may take much memory."""
    max_num_seqs: Annotated[int, Field(ge=1, le=4096)] = 64
    """Answers that are generated together."""
    max_loras: Annotated[int, Field(ge=1, le=64)] = 4
    """Adapters that answer in one batch. More may be loaded."""
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = 64
    """Largest rank of an adapter that is loaded beside its base. Others are merged."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the GPU's memory that the server takes. By default vLLM's own, nearly all of it; for rollouts, beside
    the training, 0.3."""
    max_servers: Annotated[int, Field(ge=1, le=64)] = 1
    """Base models that are served at the same time, each by a server of its own. Before one more is started, the one
    that nobody has used for longest is stopped. While all are in use, requests to ``ftkit serve`` wait; a
    :class:`ftkit.Model` does not, and is served beside them."""
    start_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """How long the server may take to start, in seconds."""
    options: tuple[str, ...] = ()
    """Further options of ``vllm serve``, e.g. ``("--tensor-parallel-size", "2")``."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.url is not None:
            self._check_url(self.url)
        elif self.served_name is not None:
            raise ValueError("served_name is the model's name at url; give url, too")
        if _VARIABLE.fullmatch(self.api_key_env) is None:
            raise ValueError("api_key_env: write the name of an environment variable, and put the key into that")
        self._check_options()
        return self

    def _check_options(self) -> None:
        if self.options and not self.options[0].startswith("-"):
            raise ValueError(f"options: {self.options[0]!r:.80} is the value of no option; begin with one, like --seed")
        for option in self.options:
            # vLLM also takes the beginning of an option, _ for -, and parts: --structured-outputs-config.backend.
            name = option.partition("=")[0].partition(".")[0].replace("_", "-")
            if name[:2] == "--" or name in _OWN_OPTIONS:
                own = [one for one in _OWN_OPTIONS if one.startswith(name)]
                if own:
                    raise ValueError(f"options: ftkit sets {own[0]} itself; use the field of this name if there is one")
                other = [one for one in _ELSEWHERE if one.startswith(name)]
                if other:
                    raise ValueError(f"options: leave out {other[0]}: {_ELSEWHERE[other[0]]}")

    def _check_url(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port)
            valid = valid and _CONTROL_OR_BLANK.search(url) is None
        except ValueError:
            valid = False
        if not valid:
            raise ValueError("url: write the server's address like http://127.0.0.1:8000")
        if parts.username or parts.password:
            raise ValueError("url: give no key in the address; put it into the environment variable of api_key_env")
        if parts.query or parts.fragment:
            raise ValueError("url: write the address without ? and #; a key goes into the variable of api_key_env")
        if parts.path.rstrip("/").endswith("/v1"):
            raise ValueError("url: leave out /v1; ftkit asks other paths of the server, too")
        # By value: a recipe that is read from its dump has set every field.
        written = [name for name in _OF_A_START if getattr(self, name) != type(self).model_fields[name].default]
        if written:
            raise ValueError(f"{', '.join(written)}: how a server is started; the one at url runs already")

    def api_key(self) -> str | None:
        """Read the key of the server at ``url``.

        Returns:
            The key; None if there is none.
        """
        return os.environ.get(self.api_key_env) or None

    def find_executable(self) -> str:
        """Find the ``vllm`` program.

        Returns:
            Its path.

        Raises:
            ConfigError: there is no program at the path that was given, or none was given and the search path has none.
        """
        for given, where in ((self.executable, "executable"), (os.environ.get(EXECUTABLE), EXECUTABLE)):
            if given:
                path = Path(given).expanduser()
                if not (path.is_file() and os.access(path, os.X_OK)):
                    raise ConfigError(f"{where}: there is no program {given!r}; give the path of vLLM's program, vllm")
                return str(path.absolute())
        found = shutil.which("vllm")
        if found is None:
            raise ConfigError(
                "the engine vllm: vLLM was not found. Install it into an environment of its own (python -m venv "
                f"vllm-env; vllm-env/bin/pip install vllm) and set {EXECUTABLE}=vllm-env/bin/vllm; or name a server "
                "that runs: ft.VLLM(url=…)"
            )
        return found
