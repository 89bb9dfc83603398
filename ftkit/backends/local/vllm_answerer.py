"""Answers from models of this machine that vLLM serves."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from typing_extensions import override

from ftkit.backends.local.engine_answerer import EngineAnswerer
from ftkit.inference.vllm.pool import vllm_pool
from ftkit.inference.vllm.settings import VLLMSettings
from ftkit.modeling.device import default_device, describe_machine
from ftkit.training.artifact import versions

__all__ = ["VLLMAnswerer"]


class VLLMAnswerer(EngineAnswerer):
    """A model that vLLM serves. All who ask with equal settings share the server.

    Args:
        name: as :func:`ftkit.modeling.model_source.find_source` takes it.
        settings: how the server is started, or where it is.
    """

    def __init__(self, name: str, settings: VLLMSettings) -> None:
        super().__init__(name, partial(vllm_pool, settings))
        self._settings = settings

    @override
    def about(self) -> dict[str, Any]:
        """Describe the model; see :class:`ftkit.backends.Answerer`.

        Returns:
            Plain JSON values.
        """
        with vllm_pool(self._settings).lease(self._name) as lease:
            server, template = lease.server, lease.chat_template
            source, there = lease.wanted.source, self._settings.url
            engine: dict[str, Any] = {"name": "vllm", "version": server.version}
            if there is not None:
                engine |= {"url": there, "base": server.root}
            if lease.wanted.merged is not None:
                engine["merged"] = lease.wanted.merged
            return {
                "model": source.name,
                "base": Path(source.base).name if Path(source.base).is_dir() else source.base,
                "adapter": None if source.adapter is None else str(source.adapter),
                "precision": server.dtype if there is None else None,
                "quantisation": None if source.quantisation is None else source.quantisation.quant_type,
                "template_hash": template.template_hash,
                **({"template_day": date.today().isoformat()} if template.writes_day else {}),
                "engine": engine,
                **({} if there is not None else describe_machine(default_device())),
                "versions": versions(),
            }
