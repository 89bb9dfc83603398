"""The hosts of OpenAI's fine-tuning jobs API that ftkit knows.

Sources: OpenAI's API reference and guides; Microsoft Learn, "Customize a model with fine-tuning" (v1 API); Nebius Token
Factory cookbook; Crusoe Intelligence Foundry documents; AWS user guide, "Fine-tune with OpenAI-compatible APIs".
"""

from __future__ import annotations

from ftkit.backends.hosted.field_support import FieldSupport
from ftkit.backends.hosted.host_profile import HostProfile

__all__ = ["AZURE", "BEDROCK_MANTLE", "COMPATIBLE", "CRUSOE", "LITELLM", "NEBIUS", "OPENAI"]

OPENAI = HostProfile(
    "openai",
    "https://api.openai.com/v1",
    "OPENAI_BASE_URL",
    ("OPENAI_API_KEY",),
    recipes=("sft", "dpo", "rft"),
    validation_required=("rft",),
    graders=True,
    token_limit="max_completion_tokens",  # noqa: S106  (no password)
    strict_schemas=True,
    batches=True,
)

AZURE = HostProfile(
    "azure",
    "",
    "AZURE_OPENAI_ENDPOINT",
    ("AZURE_OPENAI_API_KEY",),
    url_suffix="/openai/v1",
    recipes=("sft", "dpo", "rft"),
    validation_required=("rft",),
    graders=True,
    wait_for_file=True,
    byte_order_mark=True,
    token_limit="max_completion_tokens",  # noqa: S106  (no password)
    strict_schemas=True,
)

NEBIUS = HostProfile(
    "nebius",
    "https://api.tokenfactory.nebius.com/v1",
    "NEBIUS_BASE_URL",
    ("NEBIUS_API_KEY",),
    recipes=("sft",),
    parameters="top",
    adapters=True,
    key_in="suffix",
    weights=True,
)

CRUSOE = HostProfile(
    "crusoe",
    "https://api.intelligence.crusoecloud.com/v1",
    "CRUSOE_BASE_URL",
    ("CRUSOE_API_KEY",),
    recipes=("sft",),
    adapters=True,
    key_in="suffix",
    estimates=("sft",),
    answers_at="https://api.inference.crusoecloud.com/v1",
)

BEDROCK_MANTLE = HostProfile(
    "bedrock-mantle",
    "https://bedrock-mantle.{}.api.aws/v1",
    "AWS_REGION",
    ("AWS_BEARER_TOKEN_BEDROCK",),
    recipes=("rft",),
    lambda_graders=True,
    field_support={"rft": {"compute_multiplier": FieldSupport("refused", "the host's documents name no such setting")}},
)

LITELLM = HostProfile("litellm", "", "LITELLM_BASE_URL", ("LITELLM_API_KEY",), events=False)

COMPATIBLE = HostProfile(
    "compatible", "", "COMPATIBLE_BASE_URL", ("COMPATIBLE_API_KEY",), batches=True, model_in_address=True
)
"""Any other host: ``"compatible:https://host.example/v1#model"``."""
