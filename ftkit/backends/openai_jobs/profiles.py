"""What each host of OpenAI's jobs API does otherwise.

Sources: OpenAI's API reference and guides; Microsoft Learn, "Customize a model with fine-tuning" (v1 API); Nebius Token
Factory cookbook; Crusoe Intelligence Foundry documents; AWS user guide, "Fine-tune with OpenAI-compatible APIs".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftkit.backends.hosted.endpoint import Endpoint

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True, slots=True)
class Profile(Endpoint):
    """A host of OpenAI's jobs API.

    Attributes:
        kinds: recipes that are taken.
        validation_needed: recipes that are taken with validation rows alone.
        parameters: where hyperparameters go: ``"method"`` or the request's ``"top"`` level.
        adapters: whether adapters can be described (rank, alpha, dropout) and a learning rate given.
        key_in: where the run's key is kept: the job's ``"metadata"``, or its ``"suffix"``.
        wait_for_file: files must be processed before a job may name them.
        byte_order_mark: training files begin with one.
        events: whether the host lists what happens to a job.
        weights: whether its checkpoints list the files of the model.
        answers_at: base URL for answers, where it is another.
        estimates: recipes whose price the host says before the job is created.
        graders: whether a grader can be validated and run there by itself.
    """

    kinds: tuple[str, ...] = ("sft", "dpo")
    validation_needed: tuple[str, ...] = ()
    parameters: Literal["method", "top"] = "method"
    adapters: bool = False
    key_in: Literal["metadata", "suffix"] = "metadata"
    wait_for_file: bool = False
    byte_order_mark: bool = False
    events: bool = True
    weights: bool = False
    answers_at: str | None = None
    estimates: tuple[str, ...] = ()
    graders: bool = False


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_BASE_URL",
            ("OPENAI_API_KEY",),
            kinds=("sft", "dpo", "rft"),
            validation_needed=("rft",),
            graders=True,
            token_limit="max_completion_tokens",  # noqa: S106  (no password)
            strict_schemas=True,
            batches=True,
        ),
        Profile(
            "azure",
            "",
            "AZURE_OPENAI_ENDPOINT",
            ("AZURE_OPENAI_API_KEY",),
            kinds=("sft", "dpo", "rft"),
            validation_needed=("rft",),
            graders=True,
            wait_for_file=True,
            byte_order_mark=True,
            token_limit="max_completion_tokens",  # noqa: S106
            strict_schemas=True,
        ),
        Profile(
            "nebius",
            "https://api.tokenfactory.nebius.com/v1",
            "NEBIUS_BASE_URL",
            ("NEBIUS_API_KEY",),
            kinds=("sft",),
            parameters="top",
            adapters=True,
            key_in="suffix",
            weights=True,
        ),
        Profile(
            "crusoe",
            "https://api.intelligence.crusoecloud.com/v1",
            "CRUSOE_BASE_URL",
            ("CRUSOE_API_KEY",),
            kinds=("sft",),
            adapters=True,
            key_in="suffix",
            estimates=("sft",),
            answers_at="https://api.inference.crusoecloud.com/v1",
        ),
        Profile(
            "bedrock-mantle",
            "https://bedrock-mantle.{}.api.aws/v1",
            "AWS_REGION",
            ("AWS_BEARER_TOKEN_BEDROCK",),
            kinds=("rft",),
        ),
        Profile("litellm", "", "LITELLM_BASE_URL", ("LITELLM_API_KEY",), events=False),
        Profile("compatible", "", "COMPATIBLE_BASE_URL", ("COMPATIBLE_API_KEY",), batches=True),
    )
}
