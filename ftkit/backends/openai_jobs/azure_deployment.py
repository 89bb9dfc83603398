"""Deploy a tuned model on Azure, which does not answer before.

Source: Microsoft Learn, "Deploy a fine-tuned model for inferencing" (control plane, api-version 2024-10-21).
"""

from __future__ import annotations

from typing import Literal

from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.retry import RetryPolicy

__all__ = ["deploy"]

_API_VERSION = "2024-10-21"


def deploy(
    model: str,
    name: str,
    *,
    subscription: str,
    resource_group: str,
    account: str,
    token: str,
    sku: Literal["standard", "GlobalStandard", "DeveloperTier"] = "standard",
    capacity: int = 1,
    url: str = "https://management.azure.com",
) -> str:
    """Deploy a model. Afterwards it is ``ft.Model("azure:<name>", task)``. Calling this twice changes nothing.

    Args:
        model: the tuned model, ``run.record.summary["tuned_model"]``.
        name: name of the deployment.
        subscription: Azure subscription.
        resource_group: resource group of the account.
        account: the Azure OpenAI account.
        token: an Azure AD token for the control plane (``az account get-access-token``). The API key does not work.
            The token is not stored.
        sku: kind of deployment. ``DeveloperTier`` has no hosting fee and lasts 24 hours; the others are charged by the
            hour.
        capacity: thousands of tokens per minute. With 1, about one request per minute is answered.
        url: address of the control plane.

    Returns:
        The state that Azure reports, e.g. ``"Creating"``.
    """
    path = (
        f"/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.CognitiveServices"
        f"/accounts/{account}/deployments/{name}"
    )
    body = {
        "sku": {"name": sku, "capacity": capacity},
        "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
    }
    http = Http("azure", url, token)
    deployment = RetryPolicy()(
        lambda: http.json("deploying the model", "PUT", path, params={"api-version": _API_VERSION}, json=body)
    )
    return str((deployment.get("properties") or {}).get("provisioningState") or "unknown")
