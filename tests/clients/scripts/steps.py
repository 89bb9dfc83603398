"""What every script does: run its steps one after another, and print for each what became of it, as JSON."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable

URL = os.environ["CLIENT_URL"]
MODEL = os.environ["CLIENT_MODEL"]
ROWS = os.environ["CLIENT_ROWS"]
"""A file of conversations to train with."""

QUESTION = "Which bed is free?"


def run(**steps: Callable[[], object]) -> None:
    for name, step in steps.items():
        try:
            step()
            print(json.dumps({"step": name, "error": None}), flush=True)
        except Exception as error:
            traceback.print_exc()
            print(json.dumps({"step": name, "error": f"{type(error).__name__}: {error}"[:400]}), flush=True)
