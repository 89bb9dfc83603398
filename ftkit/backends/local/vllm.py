"""vLLM as what runs models of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftkit.inference.vllm.rollout_settings import VLLMRollouts

if TYPE_CHECKING:
    from ftkit.backends.local.vllm_answerer import VLLMAnswerer

__all__ = ["VLLM"]


class VLLM(VLLMRollouts):
    """Answer with vLLM: ``ft.Model("local:…", task, engine=ft.VLLM(…))``, or ``engine="vllm"`` for the defaults.

    ``ft.RFT(…, rollouts=ft.VLLM(…))`` samples the answers of reinforcement with it.

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
