"""Deploying a tuned model on Azure, which answers nothing before.

Source: Microsoft Learn, "Deploy a fine-tuned model for inferencing" (control plane, api-version 2024-10-21).
"""

from __future__ import annotations

from typing import Literal

from ftkit.backends.hosted.http import Http
from ftkit.backends.hosted.retry import Patience

__all__ = ["deploy"]

_VERSION = "2024-10-21"


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
    """Deploy ``model`` under ``name``; then ask ``ft.Model("azure:<name>", task)``. Asking twice changes nothing.

    Args:
        model: of a succeeded run, ``run.record.summary["tuned_model"]``.
        token: of Azure AD for the control plane (``az account get-access-token``); the API's key will not do. Kept
            nowhere.
        sku: kind of deployment. ``DeveloperTier`` costs no hosting and lives 24 hours; the others are paid by the hour.
        capacity: thousands of tokens a minute; at 1 it answers about one request a minute.

    Returns:
        The state the host gives, e.g. ``"Creating"``.

    Raises:
        HostError: the host refused.
    """
    place = (
        f"/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.CognitiveServices"
        f"/accounts/{account}/deployments/{name}"
    )
    body = {
        "sku": {"name": sku, "capacity": capacity},
        "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
    }
    http = Http("azure", url, token)
    made = Patience()(
        lambda: http.json("deploying the model", "PUT", place, params={"api-version": _VERSION}, json=body)
    )
    return str((made.get("properties") or {}).get("provisioningState") or "unknown")
