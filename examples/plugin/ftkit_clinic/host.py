"""A host: the clinic's own server, which speaks OpenAI's fine-tuning jobs API.

Its address and key come from ``CLINIC_HOST_URL`` and ``CLINIC_HOST_KEY``; ``clinic-host:MODEL`` is a model there.
"""

from __future__ import annotations

from ftkit.backends.hosted.field_support import FieldSupport
from ftkit.backends.openai_jobs import HostProfile

HOST = HostProfile(
    "clinic-host",
    "",
    "CLINIC_HOST_URL",
    ("CLINIC_HOST_KEY",),
    recipes=("sft",),
    field_support={"sft": {"learning_rate": FieldSupport("honoured", "learning_rate")}},
    hyperparameters=lambda recipe, rows, sent: sent | {"learning_rate": recipe.learning_rate},
)
