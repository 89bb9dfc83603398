"""One vLLM server: started here, or running at a given address, with the adapters that ftkit has loaded into it."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ftkit.background import in_background
from ftkit.errors import ModelError
from ftkit.files import canonical_digest, folder_aside, home
from ftkit.inference.constrained import GrammarCache
from ftkit.inference.engine_error import EngineError
from ftkit.inference.model_files import Identity
from ftkit.inference.protocol import EngineStats
from ftkit.inference.vllm.adapters import merge_into
from ftkit.inference.vllm.client import VLLMClient
from ftkit.inference.vllm.command import BASE, serve_arguments, server_environment
from ftkit.inference.vllm.engine import VLLMEngine
from ftkit.inference.vllm.server_process import ServerProcess, free_port
from ftkit.inference.vllm.settings import VLLMSettings
from ftkit.inference.vllm.token_check import check_tokens
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.model_source import ModelSource
from ftkit.modeling.pretrained import load_config
from ftkit.modeling.tokenizer import load_chat_template
from ftkit.printable import printable

__all__ = ["ServedAdapter", "VLLMServer", "Wanted"]

_PORTS_TRIED = 3
_SHOWN_NAMES = 20
_LOAD_S = 300.0
"""How long the server may take to load an adapter, in seconds."""
_LOADING_ENDS_S = 30.0
"""How long a server that is stopped waits for what is being loaded, in seconds."""


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
        template: identity of the chat template that takes the place of the model's own.
    """

    name: str
    source: ModelSource
    key: tuple[Any, ...]
    identity: Identity
    adapter: Path | None
    adapter_identity: Identity
    precision: str
    merged: str | None
    template: tuple[Any, ...] = ()


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
    """A server, which the first call of :meth:`serve` starts or finds, and which :meth:`stop` stops for good.

    Attributes:
        settings: how it is started, or where it is.
        wanted: the first model that it was wanted for.
        processed: whether log-probabilities are those at the temperature of each request, as rollouts need them.
        leases: how many hold it, counted by its pool.
        names: the names that it was asked for by.
        used: when it was last released, in seconds of the monotonic clock.
        retired: whether nobody may get it any more.
        stopping: whether it is being stopped.
        version: vLLM's version.
        root: folder or hub id of the base model, as the server says.
    """

    settings: VLLMSettings
    wanted: Wanted
    processed: bool = False
    leases: int = 0
    names: set[str] = field(default_factory=set)
    used: float = 0.0
    retired: bool = False
    stopping: bool = False
    version: str = ""
    root: str = ""
    _engine: VLLMEngine | None = None
    _client: VLLMClient | None = None
    _process: ServerProcess | None = None
    _base: str = BASE
    _served: dict[tuple[Any, ...], Future[ServedAdapter]] = field(default_factory=dict)
    _loaded: dict[str, Path] = field(default_factory=dict)
    _resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _loading: threading.Lock = field(default_factory=threading.Lock)
    """Held while it starts or loads an adapter."""
    _state: threading.Lock = field(default_factory=threading.Lock)
    """Held for a moment, to read or change the fields."""
    _lost: Exception | None = None
    _stopped: bool = False

    @property
    def label(self) -> str:
        """The base model's name."""
        return self.wanted.source.base_name or self.wanted.source.base

    @property
    def dead(self) -> bool:
        """Whether it did not start, has ended since, or has forgotten what was loaded into it."""
        process = self._process
        return self._lost is not None or (self._engine is not None and process is not None and not process.alive)

    @property
    def adapters(self) -> int:
        """Number of the adapters that ftkit has loaded into it."""
        return len(self._loaded)

    @property
    def stats(self) -> EngineStats:
        """How busy it is."""
        engine = self._engine
        return EngineStats() if engine is None else engine.stats()

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

    def serve(self, wanted: Wanted) -> Future[ServedAdapter]:
        """Start the server, or find the one at the address, and load the model's adapter, each unless that is done.

        Args:
            wanted: the model.

        Returns:
            The model as the server serves it. It fails with :class:`~ftkit.ModelError` if the server does not start, is
            no vLLM server that serves the model, or has other tokens, or if the adapter cannot be loaded.
        """
        key = (wanted.adapter, wanted.adapter_identity, wanted.template)
        with self._state:
            known = self._served.get(key)
            if known is None or (known.done() and known.exception() is not None):
                known = self._served[key] = in_background(partial(self._prepare, wanted), "ftkit-vllm-load")
            return known

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
        """Take the server down if it was started here; else unload what ftkit has loaded into it.

        If it is starting, that fails.
        """
        with self._state:
            self._stopped = True
            engine, self._engine = self._engine, None
            client, self._client = self._client, None
            process = self._process
        if engine is not None:
            engine.close()
        if client is not None and process is None and self._lost is None:
            for name in self._loaded:
                with contextlib.suppress(ModelError):
                    client.post("/v1/unload_lora_adapter", {"lora_name": name}, timeout_s=10.0)
        if process is not None:
            process.stop()
        # Then nothing is written into the folder of a merged model any more.
        loading = self._loading.acquire(timeout=_LOADING_ENDS_S)
        try:
            self._loaded.clear()
            self._resources.close()
        finally:
            if loading:
                self._loading.release()

    def _prepare(self, wanted: Wanted) -> ServedAdapter:
        with self._loading:
            if self._stopped:
                raise ModelError("the model was unloaded")
            if self._lost is not None:  # it did not start for another one, who waited for it too
                raise self._lost
            if self._engine is None:
                try:
                    self._start()
                except Exception as error:
                    self._lost = error
                    if self._process is not None:
                        self._process.stop()
                    raise
            name = self._base if wanted.adapter is None else self._load(wanted.adapter, wanted.adapter_identity)
            template = load_chat_template(wanted.source)
            template.vocabulary = _vocabulary(wanted.source)
            check_tokens(self._asked, name, template, send_template=self.settings.url is None)
            return ServedAdapter(name, template, GrammarCache(template.tokenizer, template.stop_ids))

    def _start(self) -> None:
        if self.settings.url is None:
            self._start_process()
        else:
            key, rows = self.settings.api_key(), self.settings.max_num_seqs
            self._client = VLLMClient(self.settings.url, key, name="vLLM", connections=rows)
        self._meet()

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
        how: Any = {"dtype": self.dtype, "loads_adapters": self.wanted.merged is None, "processed": self.processed}
        for attempt in range(_PORTS_TRIED):
            port, key = free_port(), secrets.token_urlsafe(32)
            command = [executable, *serve_arguments(self.settings, model, port, **how)]
            with self._state:
                if self._stopped:
                    raise ModelError("the model was unloaded")
                process = self._process = ServerProcess(command, server_environment(key), name="vLLM", secret=key)
            client = VLLMClient(f"http://127.0.0.1:{port}", key, name="vLLM", connections=self.settings.max_num_seqs)
            try:
                process.wait_until(client.healthy, self.settings.start_timeout_s)
            except ModelError:
                if attempt + 1 < _PORTS_TRIED and "address already in use" in process.last_lines:
                    continue
                raise
            self._client = client
            return

    def _meet(self) -> None:
        """Read which model the server has."""
        client = self._asked
        cards = client.get("/v1/models").get("data")
        listed = [one for one in cards if isinstance(one, dict)] if isinstance(cards, list) else []
        bases = [one for one in listed if isinstance(one.get("id"), str) and not one.get("parent")]
        wanted = self.settings.served_name
        found = [one for one in bases if wanted in (None, one["id"])]
        if len(found) != 1:
            names = ", ".join(one["id"] for one in bases[:_SHOWN_NAMES]) or "none"
            if not bases:
                message = f"vLLM at {client.url} lists no model at /v1/models, so this is no vLLM server"
            else:
                said = "serves several base models" if wanted is None else f"serves no base model {wanted!r}"
                message = f"vLLM at {client.url} {said}; it has {names}. Name one: ft.VLLM(…, served_name=…)"
            raise EngineError(printable(message), "the server of the model serves others")
        self._base, self.root = found[0]["id"], str(found[0].get("root") or "")
        with contextlib.suppress(ModelError):
            self.version = str(client.get("/version").get("version") or "")
        length = found[0].get("max_model_len")
        known = type(length) is int and length > 0
        with self._state:
            if self._stopped:
                raise ModelError("the model was unloaded")
            self._engine = VLLMEngine(
                client,
                base=self._base,
                max_length=length if known else None,
                rows=self.settings.max_num_seqs,
                vocabulary=_vocabulary(self.wanted.source),
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
                message = f"the adapter {folder} cannot be loaded: {said}; {hint}"
                raise self._end_or(EngineError(message, "the server of the model cannot load it")) from None
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
        """The error to raise for one of an answer: why the server has ended, if it has."""
        gone = any(said in str(error) for said in ("cannot be reached", "broke off", "status 404"))
        if self._process is None and gone:
            # Whoever comes back at the address may serve other models, and has none of the adapters.
            self._lost = error
        return self._end_or(error)

    def _end_or(self, error: ModelError) -> ModelError:
        """Why the server has ended, if it has; else the error."""
        process, deadline = self._process, time.monotonic() + 2.0
        ends = any(said in str(error) for said in ("cannot be reached", "broke off", "status 500"))
        while process is not None and ends and time.monotonic() < deadline:
            if not process.alive:
                return process.death()
            time.sleep(0.1)
        return error


def _vocabulary(source: ModelSource) -> int | None:
    """Number of the token ids of a model."""
    size = getattr(load_config(source).get_text_config(), "vocab_size", None)
    return size if type(size) is int else None
