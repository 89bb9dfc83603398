"""The process of a job on the cluster, which starts its workers or replicas."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ftkit.extras import require

__all__ = ["connect"]


def connect() -> Any:
    """Connect this process with its cluster.

    Ray puts the present folder before all others on the path from which workers import. Here it becomes the folder of
    the code that was sent, so that workers import that, and not a folder ftkit where the head was started.

    Returns:
        The module ``ray``.
    """
    ray = require("ray", extra="ray", needed_for="a job on a Ray cluster")
    os.chdir(Path(__file__).parents[3])
    ray.init(ignore_reinit_error=True)
    return ray
