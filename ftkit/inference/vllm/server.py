"""One vLLM server: started here or told by its address, with the adapters that ftkit has loaded into it."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftkit.errors import ModelError
from ftkit.files import canonical_digest, folder_aside, home
from ftkit.inference.constrained import GrammarCache
from ftkit.inference.model_files import Identity
from ftkit.inference.vllm.adapters import merge_into
from ftkit.inference.vllm.client import VLLMClient
from ftkit.inference.vllm.engine import VLLMEngine
from ftkit.inference.vllm.server_process import ServerProcess, free_port
from ftkit.inference.vllm.settings import VLLMSettings
from ftkit.inference.vllm.token_check import check_tokens
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.pretrained import load_config
from ftkit.modeling.tokenizer import load_chat_template

__all__ = ["ServedAdapter", "VLLMServer", "Wanted"]

_BASE = "base"
_PORTS_TRIED = 3
_LOAD_S = 300.0
"""How long the server may take to load an adapter, in seconds."""
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "VLLM_API_KEY")
"""Variables that would mix this environment with vLLM's."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that is to be served.

    Attributes:
        name: the name that it was asked for by.
        source: where its files are.
        key: what models that one server answers for have in common.
        identity: identity of the files of the server's weights.
        adapter: folder of the adapter that is loaded beside the base; None for a model with weights of its own.
        adapter_identity: identity of the files of ``adapter``.
        precision: ``"fp32"`` or ``"bf16"``.
        merged: why the adapter is merged into the weights; None if it is not.
    """

    name: str
    source: ModelSource
    key: tuple[Any, ...]
    identity: Identity
    adapter: Path | None
    adapter_identity: Identity
    precision: str
    merged: str | None


@dataclass(slots=True)
class ServedAdapter:
    """A model of a server: its base, or an adapter, with the chat template by which it is asked.

    Attributes:
        name: its name there.
        template: renders conversations; its tokens are those of the server.
        grammars: compiled output schemas.
    """

    name: str
    template: ChatTemplate
    grammars: GrammarCache


@dataclass(slots=True, eq=False)
class VLLMServer:
    """A server, which :meth:`start` starts or finds. Hold :attr:`lock` to call its methods.

    Attributes:
        settings: how it is started, or where it is.
        wanted: the first model that it was wanted for.
        processed: whether log-probabilities are those at the temperature of each request, as rollouts need them.
        lock: held while it starts or loads an adapter.
        leases: how many hold it.
        names: the names that it was asked for by.
        retired: whether nobody may get it any more.
        version: vLLM's version.
        root: folder or hub id of the base model, as the server says.
    """

    settings: VLLMSettings
    wanted: Wanted
    processed: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    leases: int = 0
    names: set[str] = field(default_factory=set)
    retired: bool = False
    version: str = ""
    root: str = ""
    _engine: VLLMEngine | None = None
    _client: VLLMClient | None = None
    _process: ServerProcess | None = None
    _base: str = _BASE
    _served: dict[tuple[Any, ...], ServedAdapter] = field(default_factory=dict)
    _loaded: dict[str, Path] = field(default_factory=dict)
    _resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def started(self) -> bool:
        """Whether it has answered."""
        return self._engine is not None

    @property
    def dead(self) -> bool:
        """Whether it was started here and has ended since."""
        return self._process is not None and not self._process.alive

    @property
    def dtype(self) -> str:
        """Precision of a server that is started here, as vLLM names it."""
        own = {"fp32": "float32", "bf16": "bfloat16"}[self.wanted.precision]
        return own if self.settings.dtype == "auto" else self.settings.dtype

    @property
    def engine(self) -> VLLMEngine:
        """The engine that asks it.

        Raises:
            ModelError: it was stopped.
        """
        if self._engine is None:
            raise ModelError("the model was unloaded")
        return self._engine

    def start(self) -> None:
        """Start the server, or find the one at the address, unless that is done.

        Raises:
            ModelError: it does not start, or is no vLLM server that serves the model.
        """
        if self.started:
            return
        try:
            if self.settings.url is None:
                self._start_process()
            else:
                key = self.settings.api_key()
                rows = self.settings.max_num_seqs
                self._client = VLLMClient(self.settings.url, key, name="vLLM", connections=rows)
            self._meet()
        except BaseException:
            self.stop()
            raise

    def adapter(self, wanted: Wanted) -> ServedAdapter:
        """Load the adapter of a model if it has one, and compare the server's tokens with ftkit's.

        Args:
            wanted: the model.

        Returns:
            The model as the server serves it.

        Raises:
            ModelError: the adapter cannot be loaded, or the server's tokens are others.
        """
        template_file = wanted.source.template_file
        changed = template_file and (template_file.stat().st_mtime_ns, template_file.stat().st_size)
        key = (wanted.adapter, wanted.adapter_identity, template_file, changed)
        if key not in self._served:
            name = self._base if wanted.adapter is None else self._load(wanted.adapter, wanted.adapter_identity)
            template = load_chat_template(wanted.source)
            template.vocabulary = getattr(load_config(wanted.source).get_text_config(), "vocab_size", None)
            check_tokens(self._asked, name, template, send_template=self.settings.url is None)
            self._served[key] = ServedAdapter(name, template, GrammarCache(template.tokenizer, template.stop_ids))
        return self._served[key]

    def check_logprobs(self) -> None:
        """Refuse a server whose log-probabilities are not of the kind that :attr:`processed` says.

        Processed ones are those among the tokens that may be taken, so the only one that is allowed has probability 1.

        Raises:
            ModelError: they are of the other kind; says how to start the server.
        """
        body = {
            "model": self._base, "prompt": [0], "max_tokens": 1, "temperature": 1.0, "allowed_token_ids": [0],
            "logprobs": 0, "seed": 0,
        }  # fmt: skip
        try:
            [value] = self._asked.post("/v1/completions", body)["choices"][0]["logprobs"]["token_logprobs"]
            found = abs(float(value)) < 1e-6
        except (KeyError, IndexError, TypeError, ValueError):
            raise ModelError(f"{self._asked.name}: /v1/completions returned no log-probability") from None
        if found != self.processed:
            wanted, at = ("processed", "the sampling temperature") if self.processed else ("raw", "temperature 1")
            raise ModelError(
                f"the vLLM server at {self._asked.url} does not report log-probabilities at {at}, which rollouts need; "
                f"start it with --logprobs-mode {wanted}_logprobs"
            )

    def stop(self) -> None:
        """Take the server down if it was started here; else unload what ftkit has loaded into it."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
        client, self._client = self._client, None
        if client is not None:
            if self._process is None:
                for name in self._loaded:
                    with contextlib.suppress(ModelError):
                        client.post("/v1/unload_lora_adapter", {"lora_name": name}, timeout_s=10.0)
            client.close()
        if self._process is not None:
            self._process.stop()
        self._served.clear()
        self._loaded.clear()
        self._resources.close()

    @property
    def _asked(self) -> VLLMClient:
        if self._client is None:
            raise ModelError("the model was unloaded")
        return self._client

    def _start_process(self) -> None:
        executable, model = self.settings.find_executable(), self.wanted.source.base
        if self.wanted.merged is not None:
            folder = self._resources.enter_context(folder_aside(home() / "vllm" / "merged"))
            merge_into(self.wanted.source, folder, self.wanted.precision)
            model = str(folder)
        for attempt in range(_PORTS_TRIED):
            port, key = free_port(), secrets.token_urlsafe(32)
            process = ServerProcess(
                [executable, *self._arguments(model, port)], _environment(key), name="vLLM", secret=key
            )
            self._process = process
            client = VLLMClient(f"http://127.0.0.1:{port}", key, name="vLLM", connections=self.settings.max_num_seqs)
            try:
                process.wait_until(client.healthy, self.settings.start_timeout_s)
            except ModelError:
                client.close()
                if attempt + 1 < _PORTS_TRIED and "address already in use" in process.last_lines:
                    continue
                raise
            self._client = client
            return

    def _arguments(self, model: str, port: int) -> list[str]:
        settings = self.settings
        arguments = ["serve", model, "--host", "127.0.0.1", "--port", str(port), "--served-model-name", _BASE]
        arguments += [
            "--dtype",
            self.dtype,
            "--max-num-seqs",
            str(settings.max_num_seqs),
            "--generation-config",
            "vllm",
        ]
        # llguidance is what ftkit's own engine uses, so the same grammars hold answers in the same way.
        mode = "processed_logprobs" if self.processed else "raw_logprobs"
        arguments += ["--structured-outputs-config", '{"backend": "guidance"}', "--logprobs-mode", mode]
        arguments += ["--enable-prompt-tokens-details", "--trust-request-chat-template", "--disable-log-stats"]
        arguments += ["--disable-uvicorn-access-log"]
        if self.wanted.merged is None:
            arguments += ["--enable-lora", "--max-loras", str(settings.max_loras)]
            arguments += ["--max-lora-rank", str(settings.max_lora_rank)]
        if settings.max_model_len is not None:
            arguments += ["--max-model-len", str(settings.max_model_len)]
        if settings.gpu_memory_utilization is not None:
            arguments += ["--gpu-memory-utilization", str(settings.gpu_memory_utilization)]
        return [*arguments, *settings.options]

    def _meet(self) -> None:
        """Read which model the server has."""
        client = self._asked
        cards = client.get("/v1/models").get("data")
        bases = [one for one in cards or () if isinstance(one, dict) and not one.get("parent")]
        wanted = self.settings.served_name
        found = [one for one in bases if wanted in (None, one.get("id"))]
        if len(found) != 1:
            names = ", ".join(str(one.get("id")) for one in bases) or "none"
            said = "serves several base models" if wanted is None and bases else f"serves no base model {wanted!r}"
            raise ModelError(f"vLLM at {client.url} {said}; it has {names}. Name one: ft.VLLM(…, served_name=…)")
        self._base, self.root = str(found[0].get("id")), str(found[0].get("root") or "")
        with contextlib.suppress(ModelError):
            self.version = str(client.get("/version").get("version") or "")
        length = found[0].get("max_model_len")
        self._engine = VLLMEngine(
            client,
            base=self._base,
            max_length=length if isinstance(length, int) else None,
            rows=self.settings.max_num_seqs,
            processed=self.processed,
            explain=self._explained,
        )

    def _load(self, folder: Path, identity: Identity) -> str:
        # The name says which files it was, so that files that were replaced are loaded again.
        name = "ftkit-" + canonical_digest(f"{folder}\n{identity}").rpartition(":")[2][:16]
        self.load(name, folder)
        return name

    def load(self, name: str, folder: Path) -> None:
        """Load an adapter beside the base, unless one of this name is there.

        vLLM reuses computed prompts by the adapter's name and folder, so other weights need another name.

        Args:
            name: its name at the server.
            folder: where its files are; they must stay there until it is unloaded.

        Raises:
            ModelError: it cannot be loaded.
        """
        if name in self._loaded:
            return
        try:
            body = {"lora_name": name, "lora_path": str(folder)}
            self._asked.post("/v1/load_lora_adapter", body, timeout_s=_LOAD_S)
        except ModelError as error:
            said = str(error)
            if "already been loaded" not in said:  # by another process, from the same files
                hint = (
                    "start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
                    if "status 404" in said or "status 405" in said
                    else "export it merged, and name the result"
                )
                raise self._explained(ModelError(f"the adapter {folder} cannot be loaded: {said}; {hint}")) from None
        self._loaded[name] = folder

    def unload(self, name: str) -> None:
        """Forget an adapter that :meth:`load` has loaded.

        Args:
            name: its name at the server.
        """
        if self._loaded.pop(name, None) is not None:
            with contextlib.suppress(ModelError):  # nobody asks for it any more
                self._asked.post("/v1/unload_lora_adapter", {"lora_name": name}, timeout_s=10.0)

    def _explained(self, error: ModelError) -> ModelError:
        """The error to raise for one of a call: why the server has ended, if it has."""
        process = self._process
        deadline = time.monotonic() + 2.0
        ends = "cannot be reached" in str(error) or "status 500" in str(error)
        while process is not None and ends and time.monotonic() < deadline:
            if not process.alive:
                return process.death()
            time.sleep(0.1)
        return error


def _environment(key: str) -> dict[str, str]:
    """The environment of the server: this one without what belongs to this Python, and without other keys."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _FOREIGN and not name.endswith(("_API_KEY", "_SECRET_ACCESS_KEY"))
    }
    own = {"VLLM_API_KEY": key, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    return {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", **kept, **own}
