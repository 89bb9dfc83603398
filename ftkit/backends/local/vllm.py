"""vLLM as what runs models of this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ftkit.errors import ConfigError
from ftkit.inference.limits import ServingLimits
from ftkit.inference.vllm.rollout_settings import VLLMRollouts

if TYPE_CHECKING:
    from ftkit.backends.local.vllm_answerer import VLLMAnswerer
    from ftkit.inference.leases import LeasePool

__all__ = ["VLLM"]


class VLLM(VLLMRollouts):
    """Answer with vLLM: ``ft.Model("local:…", task, engine=ft.VLLM(…))``, or ``engine="vllm"`` for the defaults.

    ``ftkit serve --engine vllm`` answers its clients with it, and ``ft.RFT(…, rollouts=ft.VLLM(…))`` samples the
    answers of reinforcement.

    ftkit starts ``vllm serve`` as a process of its own, from the environment that vLLM is installed in, when the model
    is first asked, and takes it down with :meth:`ftkit.Model.close` or at the end of this process. Or it asks the
    server at ``url``.
    """

    def answerer(self, model: str) -> VLLMAnswerer:
        """Return what answers with a model; see :meth:`ftkit.backends.engines.Engine.answerer`.

        Args:
            model: as :func:`ftkit.modeling.model_source.find_source` takes it.

        Returns:
            The model.

        Raises:
            ConfigError: vLLM's program is not found.
        """
        from ftkit.backends.local.vllm_answerer import VLLMAnswerer

        if self.url is None:
            self.find_executable()
        return VLLMAnswerer(model, self)

    def serving_pool(self, limits: ServingLimits) -> Callable[[], LeasePool]:
        """Return what makes a server's pool; see :meth:`ftkit.backends.engines.Engine.serving_pool`.

        Args:
            limits: what the server may take. vLLM takes its memory by options of its own.

        Returns:
            A function that makes the pool.

        Raises:
            ConfigError: vLLM's program is not found, or a limit is given that vLLM does not keep.
        """
        for name in ("memory_bytes", "cache_bytes"):
            if getattr(limits, name) is not None:
                raise ConfigError(
                    f"{name}: vLLM does not keep it; give the engine gpu_memory_utilization, or on a CPU the "
                    "environment variable VLLM_CPU_KVCACHE_SPACE"
                )
        settings = self
        if limits.batch is not None and "max_num_seqs" not in self.model_fields_set:
            settings = self.model_copy(update={"max_num_seqs": limits.batch})
        elif limits.batch not in (None, self.max_num_seqs):
            raise ConfigError(
                f"batch_answers is {limits.batch}, and max_num_seqs of the engine {self.max_num_seqs}; give one of both"
            )
        if self.url is None:
            self.find_executable()

        def make() -> LeasePool:
            from ftkit.inference.vllm.pool import VLLMPool

            return VLLMPool(settings, wait=True)

        return make
